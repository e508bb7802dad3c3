"""What people work with: runs, exceptions and alerts, kept in PostgreSQL and told to others."""
