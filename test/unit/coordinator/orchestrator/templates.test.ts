import { expect, test } from 'vitest';
import {
  expandTemplates,
  fitHostname,
  isHostname,
  templateRule,
} from '../../../../coordinator/orchestrator/templates.ts';

const values = {
  serviceId: 's1',
  serviceName: 'web',
  containerId: 'c1',
  containerName: 'web-3',
  slot: 3,
  revision: 7,
  nodeId: 'n1',
  nodeName: 'host-1',
  nodeHostname: 'host-1.example.com',
};

test.each([
  ['plain', 'plain'],
  ['{{.Service.ID}}/{{.Service.Name}}', 's1/web'],
  ['{{.Container.ID}}/{{.Container.Name}}', 'c1/web-3'],
  ['{{.Slot}}.{{.Revision}}', '3.7'],
  ['{{.Node.ID}} {{.Node.Name}} {{.Node.Hostname}}', 'n1 host-1 host-1.example.com'],
  ['{{ .Slot }}', '3'],
  ['{{"{{"}}.Name}}', '{{.Name}}'],
  ['{"a":{"b":{{.Slot}}}}', '{"a":{"b":3}}'],
])('%s becomes %s', (text, expanded) => {
  expect(templateRule(text)).toBeUndefined();
  expect(expandTemplates(text, values)).toBe(expanded);
});

test.each(['{{.Task.Slot}}', '{{Slot}}', '{{ name }}', '{{.Slot', '{{}}', '{{.Slot | printf}}'])(
  '%s is refused, and names what is allowed',
  (text) => {
    expect(templateRule(text)).toContain('{{.Node.Hostname}}');
  },
);

test.each([
  ['web-3', 'web-3'],
  ['web_3', 'web-3'],
  ['-a-.b..c-', 'a.b.c'],
  ['x'.repeat(80), 'x'.repeat(63)],
  ['{{', 'container'],
])('the host name %s is made to fit as %s', (text, fitting) => {
  expect(fitHostname(text)).toBe(fitting);
  expect(isHostname(fitting)).toBe(true);
});
