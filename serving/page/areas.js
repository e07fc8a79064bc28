/* Days as areas under curves. */

/** Area under a curve through (0, start) and its values at ascending days, linear between them, in days. */
export function area(grid, values, start) {
  let [day, value, sum] = [0, start, 0];
  for (const [i, next] of grid.entries()) {
    sum += ((next - day) * (value + values[i])) / 2;
    [day, value] = [next, values[i]];
  }
  return sum;
}

/** Mean days free of all, and lost to each cause, up to the last day; they add up to it. */
export function meanDays(causes, prediction) {
  const grid = prediction.horizons_days;
  const lost = causes.map((cause) => area(grid, prediction.incidence[cause], 0));
  return { free: area(grid, prediction.event_free, 1), lost };
}
