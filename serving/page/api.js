/* The public interface of the service. The key is kept here, in memory, and nowhere else. */

let key = null;

/** The key that is shown from now on; false where the text is none: a header carries printable ASCII alone. */
export function useKey(text) {
  if (!/^[!-~]+$/.test(text)) return false;
  key = text;
  return true;
}

/** What the service refuses: problem details (RFC 9457). */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `the service answered ${status}`);
    this.status = status;
    this.field = problem.field ?? null;
    this.rule = problem.rule ?? this.message;
  }
}

/** GET or, with a body, POST; the JSON of the answer. */
export async function asked(path, body, signal) {
  const headers = { accept: "application/json" };
  if (key !== null) headers.authorization = `Bearer ${key}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let response;
  try {
    const method = body === undefined ? "GET" : "POST";
    response = await fetch(path, { method, headers, signal, body: body && JSON.stringify(body), credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { detail: "The service cannot be reached; see whether it still runs, then try again." });
  }
  if (response.ok) return response.json();
  throw new Refused(response.status, await response.json().catch(() => ({})));
}
