"""What events about spending, accounts and the machine change."""
