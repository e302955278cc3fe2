"""`onshi resend`: after the store was restored from a backup, the edges on this machine say again what they have."""

from argparse import Namespace

from pipeline.cli.desk import Desk
from pipeline.cli.instants import instant
from pipeline.settings import Settings
from producers.chart.patients import forget_list
from producers.terminal import resend as resend_terminal


def resend(settings: Settings, arguments: Namespace) -> int:
    since = instant(arguments.since) if arguments.since else None
    desk = Desk(settings, arguments)
    files = sum(
        resend_terminal(settings.edge.state, clinic.id, terminal.id, since)
        for clinic in settings.clinics
        for terminal in clinic.terminals
    )
    lists = sum(forget_list(settings.edge.state, clinic.id) for clinic in settings.clinics if clinic.chart)
    desk.say({"files": files, "patient_lists": lists}, [f"{files} files and {lists} patient lists will be sent again"])
    return 0
