// A grid of values over a square, drawn as heat over the picture in the middle of that square.

const COLD = [255, 191, 0];
const HOT = [226, 0, 92];
const FINE = 192; // pixels a side of the smooth map

/** The value at a place of the square (x, y in 0 to 1), bilinear between the cells' centres. */
export function valueAt({ rows, columns, values }, x, y) {
  const column = Math.min(columns - 1, Math.max(0, x * columns - 0.5));
  const row = Math.min(rows - 1, Math.max(0, y * rows - 0.5));
  const [left, top] = [Math.floor(column), Math.floor(row)];
  const [right, bottom] = [Math.min(columns - 1, left + 1), Math.min(rows - 1, top + 1)];
  const above = values[top][left] * (left + 1 - column) + values[top][right] * (column - left);
  const below = values[bottom][left] * (left + 1 - column) + values[bottom][right] * (column - left);
  return above * (top + 1 - row) + below * (row - top);
}

/** The picture's own rectangle in the square of its longer side, in 0 to 1. */
export function inSquare(width, height) {
  const side = Math.max(width, height);
  return {
    left: (side - width) / 2 / side,
    top: (side - height) / 2 / side,
    width: width / side,
    height: height / side,
  };
}

/** Draw the grid onto a canvas laid over a picture of width × height pixels. */
export function drawHeat(canvas, grid, width, height) {
  const part = inSquare(width, height);
  canvas.width = Math.max(1, Math.round(FINE * part.width));
  canvas.height = Math.max(1, Math.round(FINE * part.height));
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(canvas.width, canvas.height);
  for (let y = 0; y < canvas.height; y += 1) {
    for (let x = 0; x < canvas.width; x += 1) {
      const value = valueAt(
        grid,
        part.left + ((x + 0.5) / canvas.width) * part.width,
        part.top + ((y + 0.5) / canvas.height) * part.height,
      );
      const at = 4 * (y * canvas.width + x);
      for (let channel = 0; channel < 3; channel += 1)
        pixels.data[at + channel] = COLD[channel] + (HOT[channel] - COLD[channel]) * value;
      pixels.data[at + 3] = 255 * Math.min(1, value) ** 0.8;
    }
  }
  context.putImageData(pixels, 0, 0);
}

/** Where in the picture the strongest part lies, in words, for who does not see the heat. */
export function strongest(grid, width, height) {
  const part = inSquare(width, height);
  let best = { value: -1 };
  for (let row = 0; row < 9; row += 1) {
    for (let column = 0; column < 9; column += 1) {
      const value = valueAt(
        grid,
        part.left + ((column + 0.5) / 9) * part.width,
        part.top + ((row + 0.5) / 9) * part.height,
      );
      if (value > best.value) best = { value, row, column };
    }
  }
  const across = ["left", "middle", "right"][Math.floor(best.column / 3)];
  const down = ["top", "middle", "bottom"][Math.floor(best.row / 3)];
  return across === down
    ? "in the middle"
    : across === "middle"
      ? `at the ${down}`
      : down === "middle"
        ? `at the ${across}`
        : `at the ${down} ${across}`;
}
