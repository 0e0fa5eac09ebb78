const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
/** Less is told to nobody: it does no harm. */
const noticeMs = 5 * minuteMs;

/** What a node's message says of a clock that differs from the coordinator's; empty: nothing. */
export function explainClock(skewMs: number): string {
  const differenceMs = Math.abs(skewMs);
  if (differenceMs <= noticeMs) return '';
  const where = skewMs > 0 ? 'ahead of' : 'behind';
  if (differenceMs <= dayMs) {
    return `its clock is ${amount(differenceMs)} ${where} the coordinator's`;
  }
  return `ITS CLOCK IS WRONG, or the coordinator's: it is ${amount(differenceMs)} ${where} the coordinator's, so that certificates may be refused; set it, for example by "timedatectl set-ntp true"`;
}

function amount(ms: number): string {
  const minutes = Math.round(ms / minuteMs);
  if (minutes < 120) return `${minutes} minutes`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} hours` : `${Math.round(hours / 24)} days`;
}
