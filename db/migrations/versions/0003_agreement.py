"""What the server finds out about a round, and how far a client's factors moved."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Bring the schema from the step before to this one."""
    for column in ("aggregation_error", "cosine_a", "cosine_b"):
        op.add_column("rounds", sa.Column(column, sa.Double(), nullable=True))
    for column in ("drift_a", "drift_b"):
        op.add_column("client_rounds", sa.Column(column, sa.Double(), nullable=True))
