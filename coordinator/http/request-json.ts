import { fromJson, toBinary, type DescService, type FileRegistry } from '@bufbuild/protobuf';
import type { JsonValue } from '@bufbuild/protobuf';
import { contractRegistry } from '../api/contract.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';

/**
 * Reads requests of a service in proto3's JSON form, strictly: an unknown field, a wrong type or a
 * number out of range is refused, where the generated `fromJSON` would make something of it.
 */
export class RequestJson {
  readonly #service: string;
  #contract: { readonly registry: FileRegistry; readonly service: DescService } | undefined;

  constructor(service: string) {
    this.#service = service;
  }

  /** The request of a method in protobuf's binary form. */
  encode(method: string, text: string): Uint8Array {
    const { service, registry } = (this.#contract ??= this.#read());
    const input = service.methods.find(({ name }) => name === method)?.input;
    if (input === undefined) throw new Error(`the contract has no method ${method}`);
    try {
      const json = withCamelCaseMask(JSON.parse(text) as JsonValue);
      return toBinary(input, fromJson(input, json, { registry }));
    } catch (error) {
      throw new DomainError(
        'invalid',
        text === ''
          ? 'the request has no body; send at least {}'
          : `the request cannot be read: ${withoutValues(messageOf(error))}`,
        { reason: 'INVALID_JSON', cause: error },
      );
    }
  }

  /** Once, for the first request: many coordinators are never asked in JSON. */
  #read() {
    const registry = contractRegistry();
    const service = registry.getService(this.#service);
    if (service === undefined) throw new Error(`the contract has no service ${this.#service}`);
    return { registry, service };
  }
}

/**
 * What a reader of JSON says, without the strings that it read: they may be secrets, and these words may
 * end up where others read them. Names of fields stay, and words that are
 * none of a list.
 */
function withoutValues(words: string): string {
  if (words.startsWith('cannot decode enum ')) return words;
  return words
    .replace(/(got |from JSON:? )".*"$/s, '$1a string')
    .replace(/, (\.\.\.)?".*" is not valid JSON$/s, ': that is not valid JSON');
}

/** Masks in JSON are in camelCase; the names that all else is called by are taken as well. */
function withCamelCaseMask(json: JsonValue): JsonValue {
  if (json === null || typeof json !== 'object' || Array.isArray(json)) return json;
  const { update_mask: snake, updateMask: camel = snake, ...rest } = json;
  if (typeof camel !== 'string') return json;
  return {
    ...rest,
    updateMask: camel.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
  };
}
