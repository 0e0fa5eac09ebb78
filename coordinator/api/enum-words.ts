/**
 * Numbers of a protobuf enum with our words for them. The first also stands for 0 and for numbers
 * that this version doesn't know: callers may be newer than we are.
 */
export type EnumWords<Num extends number, Word> = readonly [
  first: readonly [Num, Word],
  ...rest: (readonly [Num, Word])[],
];

export function wordOf<Word>(words: EnumWords<number, Word>, number: number): Word {
  return (words.find(([candidate]) => candidate === number) ?? words[0])[1];
}

export function numberOf<Num extends number, Word>(words: EnumWords<Num, Word>, word: Word): Num {
  return (words.find(([, candidate]) => candidate === word) ?? words[0])[0];
}
