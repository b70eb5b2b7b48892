"""The program of the scripted agent: acts out a scenario at a terminal as an agent would. Knows no factory but its mailbox."""
