/**
 * What an agent says that it can do: take its assignments in several messages. What a connection has to hold for
 * its largest message it holds for ever, and a coordinator has as many connections as there are hosts.
 */
export const partsVerb = 'parts';
