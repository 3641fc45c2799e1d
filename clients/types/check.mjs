// Gives what `tornadose::schema()` has generated to the tools of others: TypeScript compiles pages that use the types, and
// the parsers of AsyncAPI and OpenAPI read the documents, and real events match their schemas. A line of a page that must not compile has the comment
// `@ts-expect-error` above it; TypeScript reports one that compiles.
import { spawnSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { join, relative } from "node:path"
import { Parser } from "@asyncapi/parser"
import { Ajv } from "ajv"
import { Validator } from "@seriousme/openapi-schema-validator"

const HERE = import.meta.dirname, ROOT = join(HERE, "../..")
let faults = 0

function report(name, problems) {
  console.log(`${problems.length ? "FAILED" : "ok    "} ${name}`)
  for (const problem of problems) console.log(`       ${problem}`)
  faults += problems.length
}

const find = (end) => ["examples", "tornadose/tests/schema/generated"]
  .flatMap((folder) => readdirSync(join(ROOT, folder), { recursive: true }).map((file) => join(ROOT, folder, file)))
  .filter((file) => file.endsWith(end)).sort()
const read = (file) => readFileSync(file, "utf8")

function checkPages() {
  const { status, stdout, stderr, error } = spawnSync(join(HERE, "node_modules/.bin/tsc"), ["--project", HERE], { encoding: "utf8" })
  report("pages by tsc --strict", status === 0 ? [] : [error?.message ?? stdout + stderr])
  // Each generated file has a page that uses it, and that shows what does not compile.
  const pages = readdirSync(join(HERE, "pages")).map((page) => read(join(HERE, "pages", page)))
  for (const file of find(".d.ts")) {
    const module = relative(join(HERE, "pages"), file).replace(".d.ts", ".js")
    const users = pages.filter((page) => page.includes(`from "${module}"`))
    const misuses = users.join("").split("// @ts-expect-error").length - 1
    report(`${relative(ROOT, file)}: ${users.length} page, ${misuses} misuses`,
      users.length && misuses >= 2 ? [] : ["no page of clients/types/pages uses it, or shows two misuses"])
  }
}

async function checkAsyncApi() {
  for (const file of find("asyncapi.json")) {
    const { document, diagnostics } = await new Parser().parse(read(file))
    // The parser asks for 3.1, which many tools do not read yet.
    const problems = diagnostics.filter(({ code }) => code !== "asyncapi-latest-version")
      .map(({ path, message }) => `${path.join(".")}: ${message}`)
    report(relative(ROOT, file), document ? problems : [...problems, "it is no document"])
  }
}

// The events of a program are those that its document describes.
function checkEvents() {
  for (const file of find("events.json")) {
    // The formats of numbers are those of schemars, such as `uint8`.
    const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true })
    ajv.addSchema(JSON.parse(read(file.replace("events.json", "asyncapi.json"))), "document")
    const events = JSON.parse(read(file))
    const problems = events.flatMap(({ channel, message, payload }) => {
      const place = `document#/channels/${channel}/messages/${message}/payload`
      const errors = (value) => ajv.validate({ $ref: place }, value) ? [] : [`${place}: ${ajv.errorsText()}: ${JSON.stringify(value)}`]
      return [...errors(payload), ...(errors("🌪").length ? [] : [`${place} matches anything`])]
    })
    report(`${relative(ROOT, file)}: ${events.length} events`, events.length ? problems : ["there are none"])
  }
}

async function checkOpenApi() {
  for (const file of find("openapi.json")) {
    const validator = new Validator()
    const { valid, errors } = await validator.validate(JSON.parse(read(file)))
    const problems = valid ? [] : [JSON.stringify(errors)]
    report(`${relative(ROOT, file)}, version ${validator.version}`, validator.version === "3.2" ? problems : ["not of version 3.2"])
  }
}

checkPages()
await checkAsyncApi()
await checkOpenApi()
checkEvents()
if (faults) process.exit(1)
