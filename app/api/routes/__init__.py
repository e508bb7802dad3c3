"""The routes, a module a subject; each has `register(router)`."""
