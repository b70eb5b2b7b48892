"""The pure core: it makes up its mind from State and Input alone. No time, no chance, no disk, no await."""
