/// The newest lines of the audit log, where one is kept in a file.

import { useState } from "preact/hooks";
import { call, Refused } from "../api";
import { shortOf } from "../chime";
import { Field, Shown, Table, useLoaded } from "../parts";

interface Line {
  time: string;
  request_id: string | null;
  source_address: string | null;
  access_key_id: string | null;
  principal: string | null;
  bearer: string | null;
  action: string | null;
  resources: Record<string, unknown>;
  result: string;
  status: number;
}

export function Audit() {
  const lines = useLoaded(async () => (await call<{ Lines: Line[] }>("GET", "/_carillon/v1/audit")).Lines, []);
  const [sought, setSought] = useState("");
  const { reload } = lines;
  const fits = (line: Line): boolean => JSON.stringify(line).toLowerCase().includes(sought.toLowerCase());
  return (
    <>
      <h1>Audit log</h1>
      <p class="quiet">Every write, every refusal, every socket that was opened; the newest first, never any content.</p>
      {lines.error instanceof Refused && lines.error.status === 404 ? (
        <p class="empty">{lines.error.message}.</p>
      ) : (
        <Shown of={lines}>
        {(lines) => (
          <>
            <div class="choices">
              <Field
                label="Find"
                type="search"
                value={sought}
                placeholder="An action, an ARN, a key, a result"
                onInput={({ currentTarget }) => setSought(currentTarget.value)}
              />
              <button type="button" class="plain" onClick={reload}>
                Read again
              </button>
            </div>
            <Lines of={lines.filter(fits)} />
          </>
        )}
        </Shown>
      )}
    </>
  );
}

/// The whole ARN for whoever asks for it.
const Short = ({ of }: { of: string }) => <code title={of}>{shortOf(of)}</code>;

function Lines({ of }: { of: Line[] }) {
  if (of.length === 0) return <p class="empty">No such line.</p>;
  return (
    <Table caption="Audit log" heads={["Time", "Who", "Action", "On", "Result"]}>
      {of.map((line, place) => (
        <tr key={`${line.request_id} ${place}`}>
          <td>
            <time dateTime={line.time}>{new Date(line.time).toLocaleString()}</time>
          </td>
          <td>
            <Short of={line.principal ?? line.access_key_id ?? "nobody"} />
            {line.bearer && (
              <>
                <br />
                as <Short of={line.bearer} />
              </>
            )}
            {line.source_address && <span class="quiet"> from {line.source_address}</span>}
          </td>
          <td>{line.action ?? "–"}</td>
          <td>
            {Object.entries(line.resources).map(([name, value]) => (
              <p key={name}>
                <span class="quiet">{name}</span>{" "}
                {[value].flat().map((one) => (
                  <Short key={String(one)} of={String(one)} />
                ))}
              </p>
            ))}
          </td>
          <td>
            <span class={`status ${line.result === "OK" ? "sent" : "failed"}`}>{line.result}</span>
          </td>
        </tr>
      ))}
    </Table>
  );
}
