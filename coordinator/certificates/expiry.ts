const dayMs = 86_400_000;
/** Days before the end at which it is told. */
const thresholds = [0, 1, 7, 14, 30] as const;

/** From when to when a certificate is valid. */
export interface Life {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/**
 * The days that are left, as the threshold that was passed last; null: none was. What a certificate that lives
 * for 90 days has left when it is renewed in time is no news, so thresholds count from a third of its life.
 */
export function expiryNotice({ notBeforeMs, notAfterMs }: Life, nowMs: number): number | null {
  const thirdMs = (notAfterMs - notBeforeMs) / 3;
  const leftMs = notAfterMs - nowMs;
  const passed = thresholds.find((days) => leftMs <= days * dayMs && days * dayMs < thirdMs);
  return passed ?? null;
}

/** The end of a certificate in words: `expires on 2031-05-01, in 6 days`. */
export function expiryWords(notAfterMs: number, nowMs: number): string {
  const date = new Date(notAfterMs).toISOString().slice(0, 10);
  const leftMs = notAfterMs - nowMs;
  if (leftMs <= 0) return `expired on ${date}: clients refuse it`;
  const days = Math.floor(leftMs / dayMs);
  if (days === 0) return `expires on ${date}, in ${Math.floor(leftMs / 3_600_000)} hours`;
  return `expires on ${date}, in ${days} ${days === 1 ? 'day' : 'days'}`;
}
