"""The database: one module per noun; SQLAlchemy is imported nowhere else."""
