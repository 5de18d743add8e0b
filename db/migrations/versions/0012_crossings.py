"""What has crossed between the server and each client of a run."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Bring the schema from the step before to this one."""
    op.create_table(
        "crossings",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("client", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("to_server", sa.Boolean(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_crossings_run_id_runs")),
        sa.PrimaryKeyConstraint("run_id", "client", "kind", "to_server", name=op.f("pk_crossings")),
    )
