/// Everything that is measured, as plots.

import type { TargetedSubmitEvent } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Refused } from "../api";
import { bear, type Family, type Line, linesOf, list, operations, watch } from "../measured";
import { Failed, Field, Table } from "../parts";

/// What families belong together, by how their names begin; the first that fits.
const SECTIONS: [words: string, names: RegExp][] = [
  ["Calls", /^carillon_(request|limits|unsigned)/],
  ["Sockets and events", /^carillon_(socket|event|teller|bus|commit_to)/],
  ["Channel flows", /^carillon_processor/],
  ["What leaves the server", /^carillon_(outgoing|push)/],
  ["Store", /^carillon_store/],
  ["Connections", /^carillon_(connection|overdue|bodies)/],
  ["Jobs and process", /./],
];
const LINES_MAX = 5;

export function useMeasured(): { error: unknown; again: () => void } {
  const [state, setState] = useState<{ error?: unknown; round: number }>({ round: 0 });
  const [tries, setTries] = useState(0);
  useEffect(() => watch((error) => setState(({ round }) => ({ error, round: round + 1 }))), [tries]);
  return { error: state.error, again: () => setTries(tries + 1) };
}

export function Metrics() {
  const { error, again } = useMeasured();
  const [sought, setSought] = useState("");
  const families = list().filter(
    ({ name, kind, help }) => kind !== "info" && `${name} ${help}`.toLowerCase().includes(sought.toLowerCase()),
  );
  const sections = SECTIONS.map(([words]) => ({ words, families: [] as Family[] }));
  for (const family of families) {
    const place = SECTIONS.findIndex(([, names]) => names.test(family.name));
    sections[place]?.families.push(family);
  }
  return (
    <>
      <h1>Metrics</h1>
      <p class="quiet">
        Of this node, since this page was opened: counters a second, histograms by their percentiles, all others as they
        are. <code>/_carillon/metrics</code> has them for Prometheus.
      </p>
      <Unmeasured error={error} again={again} />
      <Field
        label="Find"
        type="search"
        value={sought}
        onInput={({ currentTarget }) => setSought(currentTarget.value)}
      />
      {sections
        .filter(({ families }) => families.length !== 0)
        .map(({ words, families }) => (
          <section key={words}>
            <h2>{words}</h2>
            {words === "Calls" && <Operations />}
            <div class="plots">
              {families.map((family) => (
                <Plot key={family.name} family={family} />
              ))}
            </div>
          </section>
        ))}
    </>
  );
}

/// What was called since the server was started, and what of it was refused.
function Operations() {
  const rows = operations();
  if (rows.length === 0) return null;
  return (
    <details>
      <summary>Operations that were called: {rows.length}</summary>
      <Table caption="Operations" heads={["Operation", "Calls", "Refused", "With"]}>
        {rows.map(({ name, calls, refused, codes }) => (
          <tr key={name}>
            <td>{name}</td>
            <td class="number">{shown(calls)}</td>
            <td class="number">{shown(refused)}</td>
            <td>{codes}</td>
          </tr>
        ))}
      </Table>
    </details>
  );
}

/// Why nothing is measured; and the token, where one is asked for.
export function Unmeasured({ error, again }: { error: unknown; again: () => void }) {
  if (error === undefined) return null;
  const needsToken = error instanceof Refused && error.status === 401;
  const onSubmit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    bear(String(new FormData(event.currentTarget).get("token")));
    again();
  };
  return (
    <>
      <Failed error={error} retry={again} />
      {needsToken && (
        <form onSubmit={onSubmit}>
          <Field label="Token of [metrics]" name="token" type="password" required />
          <button type="submit">Show</button>
        </form>
      )}
    </>
  );
}

const latest = (line: Line): number => line.points.findLast((point) => !Number.isNaN(point)) ?? Number.NaN;

function unitOf({ name, kind }: Family): string {
  const unit = name.endsWith("_seconds") ? "seconds" : name.endsWith("_bytes") ? "bytes" : "";
  return kind === "counter" ? `${unit} a second`.trim() : unit;
}

function Plot({ family }: { family: Family }) {
  const all = linesOf(family).sort((a, b) => (latest(b) || 0) - (latest(a) || 0));
  const lines = all.slice(0, LINES_MAX);
  const known = lines.flatMap((line) => line.points).filter((point) => !Number.isNaN(point));
  const top = Math.max(...known, 0);
  const words = lines.map((line) => `${line.words} ${shown(latest(line))}`).join(", ");
  return (
    <figure class="plot">
      <figcaption>
        {family.help || family.name}
        <code class="quiet">{family.name}</code>
      </figcaption>
      <svg viewBox="0 0 300 64" role="img" aria-label={`${family.help}: ${words || "nothing yet"}`} preserveAspectRatio="none">
        {lines.map((line, place) => (
          <polyline key={line.words} class={`line line-${place}`} points={pointsOf(line, top)} />
        ))}
      </svg>
      <ul class="legend">
        {lines.map((line, place) => (
          <li key={line.words} class={`line-${place}`}>
            <span>{line.words}</span> <b>{shown(latest(line))}</b>
          </li>
        ))}
      </ul>
      <p class="quiet">
        {unitOf(family)}
        {LINES_MAX < all.length && ` · and ${all.length - LINES_MAX} more`}
      </p>
    </figure>
  );
}

function pointsOf({ points }: Line, top: number): string {
  const step = 300 / Math.max(points.length - 1, 1);
  return points
    .map((point, place) => [place * step, 61 - (top === 0 ? 0 : (point / top) * 58), point] as const)
    .filter(([, , point]) => !Number.isNaN(point))
    .map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`)
    .join(" ");
}

export function shown(value: number): string {
  if (Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && size < 0.01) return value.toExponential(1);
  return value.toLocaleString(undefined, { maximumFractionDigits: size < 10 ? 2 : 0 });
}
