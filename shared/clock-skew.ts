const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
/** Less is told to nobody: it does no harm. */
const noticeMs = 5 * minuteMs;

/** Whether a clock differs by so much from the coordinator's that somebody has to set one of the two. */
export function isClockWrong(skewMs: number): boolean {
  return Math.abs(skewMs) > dayMs;
}

/** What is said of a host's clock that differs from the coordinator's, by whoever calls it so; empty: nothing. */
export function explainClock(skewMs: number, its = 'its clock'): string {
  const differenceMs = Math.abs(skewMs);
  if (differenceMs <= noticeMs) return '';
  const where = skewMs > 0 ? 'ahead of' : 'behind';
  if (!isClockWrong(skewMs)) {
    return `${its} is ${amount(differenceMs)} ${where} the coordinator's`;
  }
  return `${its.toUpperCase()} IS WRONG, or the coordinator's: it is ${amount(differenceMs)} ${where} the coordinator's, so that certificates may be refused; set it, for example by "timedatectl set-ntp true"`;
}

/** So much time in words. */
export function amount(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  if (seconds < 120) return `${seconds} seconds`;
  const minutes = Math.round(ms / minuteMs);
  if (minutes < 120) return `${minutes} minutes`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} hours` : `${Math.round(hours / 24)} days`;
}
