/** A field that every coordinator sets, though proto3 cannot say so. */
export function required<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new Error('the coordinator answered without the object that was asked for');
  }
  return value;
}
