/// What did not leave the server, or did not come about: streams, push, bots, operators' events, processors, jobs.

import { list, totalsOf, valuesOf } from "../measured";
import { Table } from "../parts";
import { shown, Unmeasured, useMeasured } from "./metrics";

/// Counters of what goes wrong; of those that count how things end, the ends that are no failures.
const FAILURES: [name: string, fine: string[]][] = [
  ["carillon_outgoing_failed", []],
  ["carillon_push_notifications", ["taken"]],
  ["carillon_processor_calls", ["taken"]],
  ["carillon_job_failures", []],
  ["carillon_store_refused", []],
  ["carillon_store_deadlocks", []],
  ["carillon_bus_dropped", []],
  ["carillon_audit_lines_left_out", []],
  ["carillon_task_panics", []],
  ["carillon_teller_panics", []],
];
/// How the consumers of what leaves the server are called.
const CONSUMERS: Record<string, string> = { bot: "Bots", event: "Events for operators", push: "Push", stream: "Streams" };

export function Failures() {
  const { error, again } = useMeasured();
  return (
    <>
      <h1>Failures</h1>
      <p class="quiet">
        Of this node since it was started. What an operator should act on is in its log, too, and goes where{" "}
        <code>[events]</code> says.
      </p>
      <Unmeasured error={error} again={again} />
      <Outgoing />
      <Failed />
    </>
  );
}

/// What leaves the server, and what of it is stuck.
function Outgoing() {
  const consumers = Object.keys(CONSUMERS).filter((name) => valuesOf("carillon_outgoing_delivered", name) !== undefined);
  if (consumers.length === 0) return null;
  const of = (family: string, name: string): string => shown(valuesOf(`carillon_outgoing_${family}`, name) ?? Number.NaN);
  return (
    <>
      <h2>What leaves the server</h2>
      <Table caption="What leaves the server" heads={["To", "Taken", "Given up", "Waits", "The oldest waits, seconds"]}>
        {consumers.map((name) => (
          <tr key={name}>
            <td>{CONSUMERS[name]}</td>
            <td class="number">{of("delivered", name)}</td>
            <td class="number">{of("failed", name)}</td>
            <td class="number">{of("waiting", name)}</td>
            <td class="number">{of("oldest_seconds", name)}</td>
          </tr>
        ))}
      </Table>
    </>
  );
}

function Failed() {
  const known = new Map(list().map((family) => [family.name, family.help]));
  const watched = FAILURES.filter(([name]) => known.has(name));
  if (watched.length === 0) return null;
  const rows = watched.flatMap(([name, fine]) =>
    totalsOf(name)
      .filter(({ labels, total }) => 0 < total && !Object.values(labels).some((label) => fine.includes(label)))
      .map((row) => ({ ...row, name, help: known.get(name) || name })),
  );
  return (
    <>
      <h2>What went wrong</h2>
      {rows.length === 0 ? (
        <p class="empty">Nothing has failed. {watched.length} kinds of failure are counted.</p>
      ) : (
        <Table caption="What went wrong" heads={["What", "Which", "Since the start", "Since this page"]}>
          {rows
            .sort((a, b) => b.lately - a.lately || b.total - a.total)
            .map(({ name, help, labels, total, lately }) => (
              <tr key={`${name} ${Object.values(labels).join(" ")}`}>
                <td>{help}</td>
                <td>{Object.values(labels).join(", ")}</td>
                <td class="number">{shown(total)}</td>
                <td class="number">{shown(lately)}</td>
              </tr>
            ))}
        </Table>
      )}
    </>
  );
}
