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

/**
 * A random number, once a second.
 *
 * `GET /ticks`
 */
export interface Ticks extends Stream {
  sse: true
  ws: false
  events: {
    message: Tick
  }
  notices: {}
  sends: never
  replies: never
  watches: never
}

/** `GET /dashboard` */
export interface TenantDashboard extends Stream {
  sse: true
  ws: false
  events: {
    /** A line for everybody, until the next. */
    banner: {
      level: Level
      tenant: string
      text: string
    }
    widget: {
      name: string
      owner: User | null
      tenant: string
      /** The values of the last hour, the oldest first. */
      values: number[]
    }
  }
  notices: {
    /** Messages are lost to this client. */
    "tornadose:gap": {
      missed: number | null
      reason: "trimmed" | "lagged" | "restarted" | "removed" | "outage" | "unreadable"
    }
  }
  sends: never
  replies: never
  watches: never
}

/**
 * The quotes of a list of symbols, which the client changes while it is connected.
 *
 * `GET /quotes`
 */
export interface Quotes extends Stream {
  sse: true
  ws: true
  events: {
    message: Quote
  }
  notices: {
    /** A text of the client could not be used. */
    "tornadose:error": {
      key?: string
      reason: string
    }
    /** These keys are watched now. */
    "tornadose:watching": {
      keys: string[]
    }
    /** These keys are watched no more. */
    "tornadose:unwatched": {
      keys: string[]
    }
  }
  sends: never
  replies: never
  watches: string
}

/**
 * The log of a job, which ends with it.
 *
 * `GET /jobs/{job}`
 */
export interface JobLog extends Stream {
  sse: true
  ws: false
  events: {
    line: {
      job: number
      text: string
    }
    done: {
      exit_code: number
      job: number
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
      key?: number
    }
  }
  sends: never
  replies: never
  watches: never
}

/**
 * All devices.
 *
 * `GET /twins`
 */
export interface Twins extends Stream {
  sse: true
  ws: false
  events: {
    reading: {
      device: number
      sensor: string
      value: number
    }
    desired: {
      device: number
      setting: Setting
      value: unknown
    }
    gone: {
      device: number
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
      key?: number
      slot?: string | Setting
    }
  }
  sends: never
  replies: never
  watches: never
}

/** `GET /boards/{board}` */
export interface BoardFeed extends Stream {
  sse: false
  ws: true
  events: {
    drawn: {
      board: string
      stroke: [number, number][]
    }
    cursor: {
      at: [number, number]
      board: string
      user: string
    }
    cleared: {
      board: string
    }
  }
  notices: {
    /** Messages are lost to this client. */
    "tornadose:gap": {
      missed: number | null
      reason: "trimmed" | "lagged" | "restarted" | "removed" | "outage" | "unreadable"
    }
    /** A text of the client could not be used. */
    "tornadose:error": {
      reason: string
    }
  }
  sends: Action
  replies: Accepted
  watches: never
}

/**
 * A list that is loaded from a database, and its changes.
 *
 * `GET /tasks`
 */
export interface Tasks extends Stream {
  sse: true
  ws: false
  events: {
    message: Task
  }
  notices: {
    /** Messages are lost to this client. */
    "tornadose:gap": {
      missed: number | null
      reason: "trimmed" | "lagged" | "restarted" | "removed" | "outage" | "unreadable"
    }
    /** The client clears what it shows; the whole state follows. */
    "tornadose:reset": Record<string, unknown>
  }
  sends: never
  replies: never
  watches: never
}

/** `GET /games/{game}/{region}` */
export interface Game extends Stream {
  sse: false
  ws: true
  events: {
    message: Position
  }
  notices: {
    /** A text of the client could not be used. */
    "tornadose:error": {
      key?: {
        game: number
        region: number
      }
      reason: string
    }
    /** These keys are watched now. */
    "tornadose:watching": {
      keys: {
        game: number
        region: number
      }[]
    }
    /** These keys are watched no more. */
    "tornadose:unwatched": {
      keys: {
        game: number
        region: number
      }[]
    }
  }
  sends: never
  replies: never
  watches: {
    game: number
    region: number
  }
}

/** The reply to an action. */
export type Accepted = {
  number: number
}

export type Action = {
  stroke: [number, number][]
  type: "draw"
} | {
  at: [number, number]
  by?: UserInput | null
  type: "move"
} | {
  type: "clear"
}

export type Level = "info" | "warning"

/** Where everybody is, 30 times a second. */
export type Position = {
  game: number
  player: number
  region: number
  x: number
  y: number
}

/** The best offers for a symbol. */
export type Quote = {
  ask: number
  bid: number
  symbol: string
}

export type Setting = "interval" | "range"

export type Task = {
  dueAt?: number | null
  id: number
  title: string
}

/** A random number. */
export type Tick = number

export type User = {
  name: string
  /** In minutes before UTC. */
  offset: number
}

export type UserInput = {
  name: string
  /** In minutes before UTC. */
  offset?: number
}
