// Server-sent events over fetch, which unlike EventSource can send a token. Pure: bytes in, messages out.

export interface Message {
  event: string;
  id: string;
  data: string;
}

// Takes text as it comes; calls `each` with every whole message. Comments count as a sign of life.
export function reader(each: (m: Message) => void): (text: string) => void {
  let rest = "";
  let event = "";
  let id = "";
  let data: string[] = [];
  return (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (let line of lines) {
      if (line.endsWith("\r")) line = line.slice(0, -1);
      if (line === "") {
        if (data.length) each({ event: event || "message", id, data: data.join("\n") });
        event = "";
        data = [];
        continue;
      }
      const colon = line.indexOf(":");
      if (colon === 0) continue;
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "event") event = value;
      else if (field === "data") data.push(value);
      else if (field === "id") id = value;
    }
  };
}
