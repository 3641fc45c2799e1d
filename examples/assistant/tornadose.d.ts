// Generated from the types of a Rust program by `tornadose::schema()`: change them, then run
// `TORNADOSE_WRITE=1 cargo test`.
//
// A page that loads the classic script declares:
//   declare const live: typeof import("./tornadose.js").live

/** A stream: what its events carry, and what a page may send. The interfaces below describe one each. */
export interface Stream {
  /** Whether it is served over Server-Sent Events, and over WebSocket. */
  sse: boolean
  ws: boolean
  /** The data of each event, by its name. An event without one is a `message`. */
  events: object
  /** The events of the library. */
  notices: object
  /** What `send` and `ask` take, and what `ask` resolves to. */
  sends: unknown
  replies: unknown
  /** The keys of `watch`. */
  watches: unknown
}

/** The functions of a page that are called for events, by their names. The id is empty where an event has none. */
export type Handlers<S extends Stream> = {
  [Name in keyof S["events"]]?: (data: S["events"][Name], id: string) => void
} & {
  [Name in keyof S["notices"]]?: (data: S["notices"][Name], id: string) => void
} & {
  /** The connection is open. */
  open?: () => void
  /** It is lost, and tried again in `wait` ms; never again where that is `Infinity`. */
  error?: (loss: Loss) => void
}

export interface Loss {
  /** An HTTP status, a close code, `"cut"`, `"refused"`, `"silent"`, or the reason that a WebSocket was closed with. */
  reason: number | string
  wait: number
}

export interface Options {
  /** The path of a `POST` that returns a ticket for the connection. */
  ticket?: string
  /** A text that the tabs of one user have in common: they share a connection. */
  share?: string
  withCredentials?: boolean
  headers?: Record<string, string>
}

export interface SseOptions extends Options {
  ws?: false
}

export interface WsOptions extends Options {
  ws: true
  protocols?: string | string[]
}

export interface Feed {
  close(): void
}

export interface WsFeed<S extends Stream> extends Feed {
  /** Returns whether the text could be sent. */
  send(value: S["sends"]): boolean
  /** Resolves to the reply, or rejects with an `AskError`. The timeout is in ms. */
  ask(value: S["sends"], options?: { timeout?: number }): Promise<S["replies"]>
  watch(key: S["watches"]): void
  unwatch(key: S["watches"]): void
}

export interface AskError extends Error {
  name: "AskError"
  code: "lost" | "refused" | "timeout"
}

export function live<S extends Stream & { ws: true }>(path: string | URL, handlers: Handlers<S>, options: WsOptions): WsFeed<S>
export function live<S extends Stream & { sse: true }>(path: string | URL, handlers: Handlers<S>, options?: SseOptions): Feed

/** `GET /runs`: the questions of the last hour, then each that is asked. */
export interface Runs extends Stream {
  sse: true
  ws: true
  events: {
    /** The lease of the process that answers, which it renews. When it expires, any process finishes the run. */
    answering: {
      process: string
      run: RunId
    }
    asked: {
      question: string
      run: RunId
    }
    ended: {
      outcome: Outcome
      run: RunId
    }
  }
  notices: {
    /** Messages are lost to this client. */
    "tornadose:gap": {
      missed: number | null
      reason: "trimmed" | "lagged" | "restarted" | "removed" | "outage" | "unreadable"
    }
    /** A value was not renewed in time, and is dropped. */
    "tornadose:expired": {
      event?: string
      slot?: RunId
    }
    /** A text of the client could not be used. */
    "tornadose:error": {
      reason: string
    }
  }
  sends: never
  replies: never
  watches: never
}

/** `GET /runs/{run}/answer`: the text that has been written so far, then each token, until the end. */
export interface Reading extends Stream {
  sse: true
  ws: true
  events: {
    question: {
      run: RunId
      text: string
    }
    token: {
      run: RunId
      text: string
    }
    text: {
      run: RunId
      text: string
    }
    done: {
      run: RunId
    }
    stopped: {
      run: RunId
    }
    failed: {
      run: RunId
      why: string
    }
  }
  notices: {
    /** Messages are lost to this client. */
    "tornadose:gap": {
      missed: number | null
      reason: "trimmed" | "lagged" | "restarted" | "removed" | "outage" | "unreadable"
    }
    /** Nothing more comes: of this key, or without one, of the connection. */
    "tornadose:finished": {
      key?: RunId
    }
    /** A value was not renewed in time, and is dropped. */
    "tornadose:expired": {
      event?: string
      key?: RunId
    }
    /** A text of the client could not be used. */
    "tornadose:error": {
      reason: string
    }
  }
  sends: never
  replies: never
  watches: never
}

export type Outcome = "done" | "stopped" | "failed"

/** Names one question and its answer, also in a URL. */
export type RunId = string
