"""The admin API: everything of the desk over HTTP, for those who hold a key."""
