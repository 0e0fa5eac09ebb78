import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  throwIfInvalid,
  validateImage,
  validateName,
  validateReference,
  validateTags,
} from '../../../../coordinator/api/validate.ts';
import type { DomainError, FieldViolation } from '../../../../shared/errors.ts';

function rulesOf(validate: (into: FieldViolation[]) => void): string[] {
  const into: FieldViolation[] = [];
  validate(into);
  return into.map(({ field, rule }) => `${field} ${rule}`);
}

const digest = `sha256:${'0a'.repeat(32)}`;

describe('an image', () => {
  test.each([
    'web',
    'web:1',
    'dockercloud/hello-world',
    'library/a_b__c.d-e---f:v1.2_3-x',
    'localhost/web',
    'localhost:5000/team/web:latest',
    'registry.example.com/web',
    'REGISTRY.example.com:443/a/b/c:1',
    '[2001:db8::1]:5000/web:1',
    '198.51.100.7:5000/web',
    `web@${digest}`,
    `registry.example.com/web:1@${digest}`,
    `registry.example.com/${'a'.repeat(64)}`,
    'a'.repeat(255),
    `web:${'t'.repeat(128)}`,
  ])('may be %s', (image) => {
    expect(
      rulesOf((into) => {
        validateImage(image, 'image', into);
      }),
    ).toEqual([]);
  });

  test.each([
    ['', 'image is required'],
    ['a'.repeat(256), 'image must have at most 255 characters'],
    ['Web', 'image must have its repository in lower case, and is "Web"'],
    ['docker.io/Team/web', 'image must have its repository in lower case'],
    ['we b', 'image must be an image reference like'],
    ['web\n', 'image must be an image reference like'],
    ['web:1 ', 'image must have a tag of at most'],
    ['web:', 'image must have a tag of at most'],
    ['web:a:b', 'image must have a tag of at most'],
    [`web:${'t'.repeat(129)}`, 'image must have a tag of at most'],
    ['web:-x', 'image must have a tag of at most'],
    ['web@sha256:12', 'image must have a digest like'],
    [`web@${digest.toUpperCase()}`, 'image must have a digest like'],
    [`web@${digest}@${digest}`, 'image must have a digest like'],
    ['/web', 'image must be an image reference like'],
    ['web/', 'image must be an image reference like'],
    ['a//b', 'image must be an image reference like'],
    ['a..b', 'image must be an image reference like'],
    ['a___b', 'image must be an image reference like'],
    ['-web', 'image must be an image reference like'],
    ['https://registry/web', 'image must have a registry like'],
    ['registry.example.com:port/web', 'image must have a registry like'],
    ['registry..com/web', 'image must have a registry like'],
    ['a'.repeat(64), 'image must be the name of an image, not its id'],
  ])('may not be %s', (image, rule) => {
    expect(
      rulesOf((into) => {
        validateImage(image, 'image', into);
      }),
    ).toEqual([expect.stringContaining(rule)]);
  });

  test('of the worst form is refused at once', () => {
    for (const part of ['a-', 'a.', '__', 'A-', '[:', 'a/']) {
      const startedAt = performance.now();
      rulesOf((into) => {
        validateImage(part.repeat(127), 'image', into);
      });
      expect(performance.now() - startedAt).toBeLessThan(1_000);
    }
  });
});

describe('a name', () => {
  test.each(['a', 'web', 'web-1', '1', '0-0', 'a'.repeat(54)])('may be %s', (name) => {
    expect(
      rulesOf((into) => {
        validateName(name, 'name', into);
      }),
    ).toEqual([]);
  });

  test.each([
    ['', 'name is required'],
    ['a'.repeat(55), 'name must have at most 54 characters'],
    ['-web', 'name must be lower-case letters, digits and dashes'],
    ['web-', 'name must be lower-case letters, digits and dashes'],
    ['Web', 'name must be lower-case letters, digits and dashes'],
    ['we_b', 'name must be lower-case letters, digits and dashes'],
    ['web.1', 'name must be lower-case letters, digits and dashes'],
    ['web\n', 'name must be lower-case letters, digits and dashes'],
    ['web;', 'name must be lower-case letters, digits and dashes'],
    ['0'.repeat(32), 'name must not have the form of an id'],
  ])('may not be %s', (name, rule) => {
    expect(
      rulesOf((into) => {
        validateName(name, 'name', into);
      }),
    ).toEqual([expect.stringContaining(rule)]);
  });
});

test('tags are bounded, of plain characters, and there once', () => {
  const good = ['web', 'Region=eu-1', '0.1_a', 't'.repeat(80)];
  expect(
    rulesOf((into) => {
      validateTags(good, 'tags', into);
    }),
  ).toEqual([]);
  expect(
    rulesOf((into) => {
      validateTags(['a', '', 'b c', 't'.repeat(81), 'a'], 'tags', into);
    }),
  ).toEqual([
    'tags[4] has the same tag as tags[0]: "a"',
    expect.stringMatching(/^tags\[1\] must be at most 80 letters.*and is ""$/),
    expect.stringMatching(/^tags\[2\] .*and is "b c"$/),
    expect.stringMatching(/^tags\[3\] .*…"$/),
  ]);
  const many = Array.from({ length: 101 }, (_, index) => `tag-${index}`);
  expect(
    rulesOf((into) => {
      validateTags(many, 'tags', into);
    }),
  ).toEqual(['tags must have at most 100 entries, and has 101']);
});

test('a reference is only required', () => {
  expect(
    rulesOf((into) => {
      validateReference('', 'service', into);
    }),
  ).toEqual(['service is required']);
  expect(
    rulesOf((into) => {
      validateReference('web-3', 'service', into);
    }),
  ).toEqual([]);
});

describe('throwIfInvalid', () => {
  test('throws nothing without violations', () => {
    throwIfInvalid([]);
  });

  test('names each field and its rule, at most eight, and carries all', () => {
    const violations = Array.from({ length: 10 }, (_, index) => ({
      field: `f${index}`,
      rule: 'is required',
    }));
    const thrown = (): unknown => {
      try {
        throwIfInvalid(violations);
      } catch (error) {
        return error;
      }
      return undefined;
    };
    const error = thrown() as DomainError;
    expect(error.kind).toBe('invalid');
    expect(error.reason).toBe('INVALID_REQUEST');
    expect(error.message).toMatch(/^f0 is required; f1 is required; .*f7 is required; and 2 more$/);
    expect(error.violations).toEqual(violations);
  });
});

test('any text is either accepted or named, in words of bounded length', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      const into: FieldViolation[] = [];
      validateImage(text, 'image', into);
      validateName(text, 'name', into);
      validateTags([text], 'tags', into);
      for (const { rule } of into) expect(rule.length).toBeLessThan(400);
    }),
  );
});
