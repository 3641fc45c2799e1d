// The lines that a server has sent, which its pages must show in order. A client that no proxy and no browser disturbs
// reads them, or the test that has them sent adds them.
export class Sent {
  lines = []

  // Reads a stream over Server-Sent Events. `linesOf` returns what a page shows of an event.
  async follow(url, linesOf) {
    const { body } = await fetch(url)
    this.read(body, linesOf).catch(() => {}) // the server was killed
  }

  async read(body, linesOf) {
    let rest = ""
    for await (const text of body.pipeThrough(new TextDecoderStream())) {
      const blocks = (rest + text).split("\n\n")
      rest = blocks.pop()
      for (const block of blocks) {
        const data = /^data: (.*)$/m.exec(block)?.[1]
        if (data) this.lines.push(...linesOf(JSON.parse(data), /^event: (.*)$/m.exec(block)?.[1]))
      }
    }
  }

  // Returns how many lines were sent up to the last of these; -1 if there is a hole or a double among them.
  reach(lines) {
    if (!lines.length) return 0
    for (let start = this.lines.length - lines.length; start >= 0; start--) {
      if (lines.every((line, index) => line === this.lines[start + index])) return start + lines.length
    }
    return -1
  }

  // Describes these lines: their number, and the last, or those at the first that is not as it was sent.
  describe(lines) {
    const begin = this.lines.indexOf(lines[0])
    const at = begin < 0 ? 0 : lines.findIndex((line, index) => line !== this.lines[begin + index])
    const [from, to] = at < 0 ? [lines.length - 5, lines.length] : [Math.max(0, at - 3), at + 3]
    const expected = at < 0 ? this.lines.slice(-5) : this.lines.slice(begin + from, begin + to)
    return { from, lines: lines.slice(from, to), expected, count: lines.length, sent: this.lines.length }
  }
}
