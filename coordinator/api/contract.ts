import { createFileRegistry, fromBinary, type FileRegistry } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { descriptorSet } from '../../shared/gen/descriptor-set.ts';

/** The contract as a FileDescriptorSet, for those who ask the server what it speaks. */
export function contractBytes(): Uint8Array {
  return Buffer.from(descriptorSet, 'base64');
}

/** The contract's messages and services by name; takes some milliseconds to build. */
export function contractRegistry(): FileRegistry {
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, contractBytes()));
}
