/* Owns where the boxes of a topology stand: columns by distance from the first exchange, queues last.
 *
 * Pure geometry: nodes and edges in, coordinates out. The same graph gives the same picture. */

export const BOX = { width: 220, height: 30, gap: 12, column: 340, margin: 8 };
const ROW = BOX.height + BOX.gap;
const SWEEPS = 4;

/**
 * Lays a graph out. Nodes are {id, kind: "exchange" or "queue", name}; edges are {from, to} by id.
 * Gives {places: Map of id to {x, y}, width, height}.
 */
export function layout(nodes, edges) {
  const columns = columnsOf(nodes, edges);
  const order = columns.map((column) => column.map(({ id }) => id));
  const neighbours = adjacency(nodes, edges);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const forward = sweep % 2 === 0;
    const position = new Map(
      order.flatMap((ids) => ids.map((id, index) => [id, index / Math.max(1, ids.length - 1)])),
    );
    (forward ? order : [...order].reverse()).forEach((ids) =>
      sortByNeighbours(ids, neighbours, position),
    );
  }
  const rows = Math.max(1, ...order.map((ids) => ids.length));
  const height = rows * ROW - BOX.gap + 2 * BOX.margin;
  const places = new Map();
  for (let column = order.length - 1; column >= 0; column -= 1) {
    const x = BOX.margin + column * BOX.column;
    stack(order[column], neighbours, places, height).forEach((y, id) => places.set(id, { x, y }));
  }
  return { places, height, width: (columns.length - 1) * BOX.column + BOX.width + 2 * BOX.margin };
}

/** Puts each box of a column level with what it leads to, as far as the boxes above and below let it. */
function stack(ids, neighbours, places, height) {
  const wished = ids.map((id, row) => {
    const near = neighbours
      .get(id)
      .filter((other) => places.has(other))
      .map((other) => places.get(other).y);
    return { id, y: near.length ? mean(near) : BOX.margin + row * ROW };
  });
  if (ids.some((id) => neighbours.get(id).some((other) => places.has(other))))
    wished.sort((a, b) => a.y - b.y);
  let free = BOX.margin;
  for (const box of wished) {
    box.y = Math.max(box.y, free);
    free = box.y + ROW;
  }
  let limit = height - BOX.margin - BOX.height;
  for (const box of wished.reverse()) {
    box.y = Math.min(box.y, limit);
    limit = box.y - ROW;
  }
  return new Map(wished.map(({ id, y }) => [id, y]));
}

function mean(numbers) {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

/** Exchanges by the longest way to them, as far as there are no circles; all queues in one column. */
function columnsOf(nodes, edges) {
  const exchanges = nodes.filter(({ kind }) => kind === "exchange");
  const depth = new Map(exchanges.map(({ id }) => [id, 0]));
  for (let round = 1; round < exchanges.length; round += 1) {
    let changed = false;
    for (const { from, to } of edges) {
      if (!depth.has(to) || !depth.has(from) || from === to || depth.get(to) > depth.get(from))
        continue;
      if (depth.get(from) + 1 >= exchanges.length) continue;
      depth.set(to, depth.get(from) + 1);
      changed = true;
    }
    if (!changed) break;
  }
  const used = [...new Set(depth.values())].sort((a, b) => a - b);
  const columns = used.map((d) => exchanges.filter(({ id }) => depth.get(id) === d));
  const queues = nodes.filter(({ kind }) => kind === "queue");
  return queues.length ? [...columns, queues] : columns;
}

function adjacency(nodes, edges) {
  const neighbours = new Map(nodes.map(({ id }) => [id, []]));
  for (const { from, to } of edges) {
    neighbours.get(from)?.push(to);
    neighbours.get(to)?.push(from);
  }
  return neighbours;
}

/** Orders a column by the mean place of what its boxes are joined with, which uncrosses most lines. */
function sortByNeighbours(ids, neighbours, position) {
  const weight = new Map(
    ids.map((id) => {
      const near = neighbours
        .get(id)
        .map((other) => position.get(other))
        .filter(Number.isFinite);
      return [id, near.length ? mean(near) : position.get(id)];
    }),
  );
  ids.sort((a, b) => weight.get(a) - weight.get(b) || a.localeCompare(b));
  ids.forEach((id, index) => position.set(id, index / Math.max(1, ids.length - 1)));
}
