#!/usr/bin/env python3
"""Writes `dashboard.json`, which Grafana imports, from the panels below: `python3 dashboard.py > dashboard.json`.

To add a panel, add a line; a test says when the two are not the same, and when a metric is not there."""

import json

# Of what a metric counts in a second, and within which time so many of a hundred are done.
RATE = 'sum by ({by}) (rate({of}{{instance=~"$instance"{more}}}[$__rate_interval]))'
WITHIN = 'histogram_quantile({share}, sum by (le{by}) (rate({of}_bucket{{instance=~"$instance"{more}}}[$__rate_interval])))'
GAUGE = '{of}{{instance=~"$instance"{more}}}'


def rate(of: str, by: str = "instance", more: str = "") -> tuple[str, str]:
    return RATE.format(of=of, by=by, more=more and "," + more), legend(by)


def gauge(of: str, by: str = "instance", more: str = "") -> tuple[str, str]:
    return f"sum by ({by}) ({GAUGE.format(of=of, more=more and ',' + more)})", legend(by)


def within(of: str, by: str = "", more: str = "") -> list[tuple[str, str]]:
    shares = {"0.5": "half", "0.99": "99 of 100"}
    of_all = dict(of=of, by=by and ", " + by, more=more and "," + more)
    return [(WITHIN.format(share=share, **of_all), f"{legend(by)} {words}".strip()) for share, words in shares.items()]


def legend(by: str) -> str:
    return " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(",") if label.strip())


# Row by row: a title, a unit of Grafana, and what is drawn.
ROWS = {
    "Requests": [
        ("Requests by operation", "reqps", [rate("carillon_request_seconds_count", "operation", 'operation!="own"')]),
        ("Requests by code", "reqps", [rate("carillon_request_seconds_count", "code", 'code!="OK"')]),
        ("Time of a send", "s", within("carillon_request_seconds", more='operation="SendChannelMessage"')),
        ("Time of all others", "s", within("carillon_request_seconds", more='operation!~"SendChannelMessage|own"')),
        ("Limits hit", "reqps", [rate("carillon_limits_hit_total", "kind, limit")]),
        ("Unsigned requests", "reqps", [rate("carillon_unsigned_requests_total")]),
    ],
    "Sockets and events": [
        ("Sockets", "short", [gauge("carillon_sockets")]),
        ("Sockets closed, by code", "ops", [rate("carillon_socket_closes_total", "code")]),
        ("From a commit to a socket", "s", within("carillon_commit_to_socket_seconds")),
        ("Events told, frames delivered", "ops", [
            rate("carillon_events_told_total"),
            (RATE.format(of="carillon_commit_to_socket_seconds_count", by="instance", more=""), "{{instance}} frames"),
        ]),
        ("The bus: events brought, news not taken, gaps", "ops", [
            rate("carillon_bus_events_total"),
            (RATE.format(of="carillon_bus_dropped_total", by="instance", more=""), "{{instance}} not taken"),
            (RATE.format(of="carillon_event_looks_total", by="instance", more=""), "{{instance}} gaps"),
        ]),
        ("The bus can be reached", "bool_yes_no", [gauge("carillon_bus_reachable")]),
        ("Read markers told, left out", "ops", [rate("carillon_read_markers_total", "result")]),
    ],
    "Search": [
        ("Messages taken into the index", "ops", [rate("carillon_search_messages_indexed_total")]),
        ("Channels with an index, and walked", "short", [
            gauge("carillon_search_channels"),
            (f"sum by (instance) ({GAUGE.format(of='carillon_search_channels_walked', more='')})", "{{instance}} walked"),
        ]),
    ],
    "The store": [
        ("Transactions", "ops", [rate("carillon_store_transaction_seconds_count", "kind")]),
        ("Time of transactions", "s", within("carillon_store_transaction_seconds", "kind")),
        ("Transactions that wait", "short", [gauge("carillon_store_waiting", "instance, kind")]),
        ("Transactions refused", "ops", [rate("carillon_store_refused_total", "instance, kind, reason")]),
        ("Time of commits", "s", within("carillon_store_commit_seconds")),
        ("Transactions of a commit", "short", [(
            'sum by (instance) (rate(carillon_store_batch_transactions_sum{instance=~"$instance"}[$__rate_interval]))'
            ' / sum by (instance) (rate(carillon_store_batch_transactions_count{instance=~"$instance"}[$__rate_interval]))',
            "{{instance}}",
        )]),
        ("Batches undone, round trips, deadlocks, damaged pages", "ops", [
            (RATE.format(of="carillon_store_batches_undone_total", by="instance", more=""), "{{instance}} undone"),
            (RATE.format(of="carillon_store_round_trips_total", by="instance", more=""), "{{instance}} round trips"),
            (RATE.format(of="carillon_store_deadlocks_total", by="instance", more=""), "{{instance}} deadlocks"),
            (RATE.format(of="carillon_store_damaged_pages_total", by="instance", more=""), "{{instance}} damaged pages"),
        ]),
        ("Clock of the store ahead", "s", [gauge("carillon_store_clock_offset_seconds")]),
        ("The store can be reached", "bool_yes_no", [gauge("carillon_store_reachable")]),
    ],
    "What leaves the server": [
        ("Rows that wait", "short", [gauge("carillon_outgoing_waiting", "consumer")]),
        ("The oldest waits", "s", [gauge("carillon_outgoing_oldest_seconds", "instance, consumer")]),
        ("Rows handed over, given up", "ops", [
            rate("carillon_outgoing_delivered_total", "consumer"),
            (RATE.format(of="carillon_outgoing_failed_total", by="consumer", more=""), "{{consumer}} given up"),
        ]),
        ("Calls", "ops", [rate("carillon_outgoing_tried_total", "consumer")]),
        ("Time of calls", "s", within("carillon_outgoing_call_seconds", "consumer")),
        ("Targets", "short", [gauge("carillon_outgoing_gates", "state")]),
        ("Push notifications", "ops", [rate("carillon_push_notifications_total", "service, result")]),
        ("Calls of processors", "ops", [rate("carillon_processor_calls_total", "result")]),
        ("Time of processors", "s", within("carillon_processor_call_seconds")),
        ("Processors, and calls under way", "short", [
            gauge("carillon_processor_gates", "state"),
            (f"sum({GAUGE.format(of='carillon_processor_calls_under_way', more='')})", "calls under way"),
        ]),
    ],
    "The door, jobs, the process": [
        ("Connections", "short", [
            gauge("carillon_connections", "standing"),
            ('sum(carillon_connections_max{instance=~"$instance",of="all"})', "at most"),
        ]),
        ("Connections refused, or overdue", "ops", [
            rate("carillon_connections_refused_total"),
            rate("carillon_overdue_total", "what"),
        ]),
        ("Bodies", "bytes", [gauge("carillon_bodies_bytes")]),
        ("Bodies without room, lines without the audit log", "ops", [
            (RATE.format(of="carillon_bodies_refused_total", by="instance", more=""), "{{instance}} bodies"),
            (RATE.format(of="carillon_audit_lines_left_out_total", by="of", more=""), "{{of}} lines"),
        ]),
        ("Rounds of jobs", "ops", [rate("carillon_job_seconds_count", "name")]),
        ("Time of rounds", "s", within("carillon_job_seconds", "name")),
        ("Failures of jobs, panics", "ops", [
            rate("carillon_job_failures_total", "name"),
            (RATE.format(of="carillon_task_panics_total", by="instance", more=""), "{{instance}} panics"),
            (RATE.format(of="carillon_teller_panics_total", by="instance", more=""), "{{instance}} panics of tellers"),
        ]),
        ("Memory", "bytes", [gauge("carillon_process_resident_memory_bytes")]),
        ("Open files", "short", [gauge("carillon_process_open_files")]),
        ("Since", "dateTimeFromNow", [
            ('carillon_process_start_time_seconds{instance=~"$instance"} * 1000', "{{instance}}")
        ]),
        ("Versions", "short", [gauge("carillon_build_info", "version")]),
        ("Orders of certificates", "ops", [rate("carillon_certificate_orders_total", "result")]),
        ("Certificate ends", "dateTimeFromNow", [
            ('carillon_certificate_not_after_seconds{instance=~"$instance"} * 1000', "{{instance}}")
        ]),
    ],
}

WIDTH, HEIGHT, COLUMNS = 8, 8, 3
SOURCE = {"type": "prometheus", "uid": "${source}"}


def panel(title: str, unit: str, drawn: list[tuple[str, str]], number: int, at: tuple[int, int]) -> dict:
    return {
        "id": number,
        "type": "timeseries",
        "title": title,
        "datasource": SOURCE,
        "gridPos": {"x": at[0] * WIDTH, "y": at[1], "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0} if unit != "dateTimeFromNow" else {"unit": unit}},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
            for place, (expression, legend) in enumerate(drawn)
        ],
    }


def panels() -> list[dict]:
    made, top = [], 0
    for title, row in ROWS.items():
        line = {"x": 0, "y": top, "w": COLUMNS * WIDTH, "h": 1}
        made.append({"id": len(made) + 1, "type": "row", "title": title, "gridPos": line, "panels": []})
        for place, one in enumerate(row):
            at = (place % COLUMNS, top + 1 + place // COLUMNS * HEIGHT)
            made.append(panel(*one, number=len(made) + 1, at=at))
        top += 1 + -(-len(row) // COLUMNS) * HEIGHT
    return made


def dashboard() -> dict:
    source = {"name": "source", "type": "datasource", "query": "prometheus", "label": "Source"}
    instance = {
        "name": "instance",
        "type": "query",
        "label": "Node",
        "datasource": SOURCE,
        "query": "label_values(carillon_build_info, instance)",
        "includeAll": True,
        "multi": True,
        "refresh": 2,
        "current": {"text": "All", "value": "$__all"},
    }
    return {
        "uid": "carillon",
        "title": "Carillon",
        "tags": ["carillon"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source, instance]},
        "panels": panels(),
    }


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=1))  # noqa: T201
