"""`python -m broker.admin rabbitmqctl list_queues`: the stand-ins without installing them."""

import sys

from broker.admin.programs import STAND_INS, stand_in

if len(sys.argv) < 2 or sys.argv[1] not in STAND_INS:
    sys.exit(f"usage: python -m broker.admin ({' | '.join(STAND_INS)}) ...")
sys.exit(stand_in(sys.argv[1], sys.argv[2:]))
