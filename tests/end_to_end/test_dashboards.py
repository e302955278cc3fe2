"""Does every panel of every dashboard show something, asked of a real Prometheus that scrapes a running pipeline?"""

from pathlib import Path

import pytest

from pipeline.observing.dashboards import ALL
from pipeline.topology import Role
from tests.support.eventually import eventually
from tests.support.prometheus import Prometheus
from tests.support.rabbit import RabbitNode, free_port
from tests.support.site import site
from tests.support.vendors import table

VARIABLES = {"clinic": "c001", "consumer": "parsing"}


@pytest.mark.rabbitmq
@pytest.mark.timeout(280)
def test_every_panel_has_data_while_a_pipeline_runs(tmp_path: Path, rabbit_node: RabbitNode) -> None:
    vhost = rabbit_node.add_vhost()
    with site(tmp_path / "site", broker=rabbit_node.url(vhost)) as made:
        made.config.write_text(made.config.read_text() + table("acme"))
        ports = {role: free_port() for role in Role}
        jobs = {
            "onshi": {"static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports.values()]}]},
            "rabbitmq": {"static_configs": [{"targets": [f"127.0.0.1:{rabbit_node.metrics_port}"]}]},
            "rabbitmq-queues": {
                "metrics_path": "/metrics/detailed",
                "params": {"vhost": [vhost], "family": ["queue_coarse_metrics", "queue_consumer_count"]},
                "static_configs": [{"targets": [f"127.0.0.1:{rabbit_node.metrics_port}"]}],
            },
        }
        with Prometheus(tmp_path / "prometheus", jobs) as prometheus:
            for role, port in ports.items():
                made.environment["ONSHI_HTTP_PORT"] = str(port)
                made.start(role.value)
            # A rate needs a value before and one after.
            eventually(lambda: prometheus.ask('min(up{job="onshi"}) == 1'), 90, "the pipeline scraped")
            made.simulate(5, seed=1)
            made.wait_until_final(5)
            eventually(lambda: prometheus.ask("sum(onshi_settle_seconds_count) > 0"), 60, "files observed")
            made.simulate(10, seed=2)
            made.wait_until_final(15)
            wanted = {
                (dashboard.title, panel.title, query.concrete("2m", VARIABLES))
                for dashboard in ALL
                for panel in dashboard.panels
                for query in panel.queries
            }
            left = set(wanted)

            def has_all() -> bool:
                left.difference_update({one for one in left if prometheus.ask(one[2])})
                return not left

            try:
                eventually(has_all, 60, "data for every panel")
            except AssertionError:
                raise AssertionError("no data:\n" + "\n".join(map(str, sorted(left)))) from None
            assert len(wanted) > 30
