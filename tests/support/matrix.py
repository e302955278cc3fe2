"""Which faults does the matrix know, and what is expected of each? A scenario is known by its name here.

Nothing lost, nothing twice, no false certificate and no wrong erasure is expected of every one; the words say what
more there is to see.
"""

EXPECTED = {
    "broker killed 3 times": "what was confirmed survives; what was not is said again from spool and store",
    "broker killed 20 times": "the same, twenty times under load",
    "broker away": "the terminal spools and erases nothing; afterwards the oldest comes first",
    "broker away for long": "the spool grows for two minutes, and drains",
    "disk alarm": "publishers are blocked: files wait in the spool, none is dropped",
    "memory alarm": "publishers are blocked: files wait in the spool, none is dropped",
    "broker wiped": "the topology is declared anew; spool and store say again what was in the queues",
    "queues deleted": "whoever misses a queue declares it anew while the roles run; what came meanwhile is said again",
    "line cut 5 times": "every role comes back by itself; redelivered events have no second effect",
    "line reset 5 times": "every role comes back by itself; redelivered events have no second effect",
    "line gone": "everybody waits; files go into the spool",
    "slow line": "later, and whole",
    "line half open": "the heartbeat notices; a new line carries on",
    "line half open, the configured heartbeat": "the default heartbeat notices; a new line carries on",
    "line into a black hole": "the heartbeat notices; nobody hangs; files go into the spool",
    "store locked": "everything waits, nothing fails",
    "store locked for long": "after 30 s the consumers pause and probe; no attempt is burnt, nothing is parked",
    "postgresql locked for long": "the consumers wait; no attempt is burnt, nothing is parked",
    "postgresql killed twice": "the consumers pause and probe; what was under way is done again",
    "postgresql killed 20 times": "the same, twenty times under load",
    "store restored": "`onshi resend` brings back what came after the copy; the chart has it once",
    "postgresql restored": "`onshi resend` brings back what came after the copy; the chart has it once",
    "inbox missing": "nothing undelivered is erased; all comes when it is back",
    "inbox replaced": "what was finished in the old folder is the chart's, the rest comes to the new one",
    "inbox read-only": "nothing undelivered is erased; all comes when it can be written",
    "slow inbox": "later, once, and whole",
    "chart answers after applying": "the receipt is lost, the delivery comes again, the chart has it once",
    "share away": "the fault is shown; no file vanishes",
    "empty folder under the mount": "absence there proves nothing: no file vanishes, nothing is certified",
    "share read-only": "files are delivered; erasure waits, and is certified only when it is done",
    "files locked": "locked files wait, unread or unerased; nothing is certified that was not done",
    "rewritten during capture": "each comes as what it became",
    "moved away during capture": "delivered, or never taken; nothing is certified that somebody else took away",
    "burst of 10,000": "bounded memory, no starvation, all drain",
    "second terminal process": "refused clearly; it takes over when the first is gone",
    "terminal's clock +25h": "files are delivered; nothing is erased before the clock is right",
    "terminal's clock -25h": "files are delivered; nothing is erased before the clock is right",
    "clock set +25h in mid-run": "delivery goes on; erasure stops",
    "clock set -25h in mid-run": "delivery goes on; erasure stops; consents from tomorrow wait for a person",
    "poison in every queue": "parked with its reason; no neighbour goes with it",
    "redelivery and reordering": "every event twice more and in any order changes nothing",
    "redelivery under load": "one effect each",
    "two of every centre role": "each thing is done once; when one instance dies, the other does its work",
    "roles stopped past the heartbeat": "they go on where they were; what others took over is not done twice",
    "stopped past the heartbeat, part 1 of 3": "the same with the configured heartbeat, for more than a minute",
    "stopped past the heartbeat, part 2 of 3": "the same with the configured heartbeat, for more than a minute",
    "stopped past the heartbeat, part 3 of 3": "the same with the configured heartbeat, for more than a minute",
    "chart stands still": "only its own deliveries wait",
    "all killed 10 times on the embedded broker": "whatever was in hand comes again; one effect each",
}

OF_A_CLUSTER = {
    "nodes of a cluster": "two others go on within seconds; what is lost comes back by itself",
}
"""What is expected where the broker is three nodes: `make cluster`, and a table of its own."""
