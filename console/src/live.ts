/// A user's socket: events as they are told, and a socket that comes back by itself.

import { socketUrl } from "./api";

export type State = { is: "connecting" | "live" } | { is: "away" | "closed"; why: string };

export interface Event {
  type: string;
  payload: Record<string, unknown>;
}

interface Handlers {
  onState: (state: State) => void;
  onEvent: (event: Event) => void;
  /// What is shown must be read anew.
  onReload: () => void;
}

/// Who is told one of these must not come back; docs/guide/real-time.md says why each is closed.
const FOR_GOOD: Record<number, string> = {
  1008: "too many frames were sent",
  4002: "the same session was opened elsewhere, or this user has too many",
  4003: "this user does not exist, or may not connect",
  4401: "the signature was not accepted",
};
const BACKOFF_MS = 500;
const BACKOFF_MS_MAX = 10_000;

export class Live {
  private socket: WebSocket | null = null;
  private timer: number | undefined;
  private failures = 0;
  private last: string | null = null;
  private isOver = false;
  private readonly id = crypto.randomUUID();

  constructor(
    private readonly user: string,
    private readonly handlers: Handlers,
  ) {
    void this.open();
  }

  close(): void {
    this.isOver = true;
    window.clearTimeout(this.timer);
    const socket = this.socket;
    if (socket === null) return;
    // Browsers complain of a socket that is closed before it was open.
    if (socket.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close(1000);
    else socket.close(1000);
  }

  private async open(): Promise<void> {
    this.handlers.onState({ is: "connecting" });
    let url: string;
    try {
      url = await socketUrl(this.user, this.id, this.last);
    } catch (error) {
      this.handlers.onState({ is: "closed", why: String(error) });
      return;
    }
    if (this.isOver) return;
    const socket = new WebSocket(url);
    this.socket = socket;
    socket.onmessage = ({ data }) => this.take(JSON.parse(data as string));
    socket.onclose = ({ code, reason }) => this.ended(code, reason);
  }

  private take(frame: { Headers: Record<string, string>; Payload?: string }): void {
    if (this.isOver) return;
    const type = frame.Headers["x-amz-chime-event-type"] ?? "";
    this.last = frame.Headers["x-carillon-event-id"] ?? this.last;
    if (type === "SESSION_ESTABLISHED") {
      this.failures = 0;
      this.handlers.onState({ is: "live" });
      return;
    }
    if (type === "RELOAD_REQUIRED") this.handlers.onReload();
    else this.handlers.onEvent({ type, payload: JSON.parse(frame.Payload ?? "{}") });
  }

  private ended(code: number, reason: string): void {
    if (this.isOver) return;
    const final = FOR_GOOD[code];
    if (final !== undefined) {
      this.handlers.onState({ is: "closed", why: `${code}: ${reason || final}` });
      return;
    }
    const wait = Math.min(BACKOFF_MS * 2 ** this.failures, BACKOFF_MS_MAX);
    this.failures += 1;
    this.handlers.onState({ is: "away", why: `${code}${reason && `: ${reason}`}, comes back` });
    this.timer = window.setTimeout(() => void this.open(), wait * (0.5 + Math.random() / 2));
  }
}
