"""The one vocabulary of all rooms: frozen values that cross walls, disks and sockets. Knows nobody."""
