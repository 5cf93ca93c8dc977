"""A live waiting room: its snapshot, and what a policy recommends for it."""
