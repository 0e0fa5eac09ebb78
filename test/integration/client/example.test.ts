import { expect, test } from 'vitest';
import { ActionState, Status } from '../../../client/index.ts';
import { eventually } from '../../support/eventually.ts';
import { startFakeControl } from '../../support/fake-control.ts';
import { environmentOf, runFromSource, startFromSource } from './cli-process.ts';

const example = 'docs/examples/deploy.ts';

test('the example deploys, scales, rolls over and prints where the service answers', async () => {
  await using fake = await startFakeControl();
  const deploy = (...args: string[]) => runFromSource(example, args, environmentOf(fake));

  const created = await deploy('web', 'registry/web:1', '2');
  expect(created.stderr).toBe('');
  expect(created.status).toBe(0);
  expect(created.stdout).toContain('http://198.51.100.7:49153  web-1');
  expect(created.stdout).toContain('web-2');

  expect((await deploy('web', 'registry/web:1', '3')).stdout).toContain('web-3');
  await deploy('web', 'registry/web:2', '3');
  expect(fake.services.find('web')?.spec).toMatchObject({ image: 'registry/web:2', replicas: 3 });

  await deploy('web', 'registry/web:2', '3');
  expect(fake.actions.list().map(({ method }) => method)).toEqual([
    'CreateService',
    'ScaleService',
    'UpdateService',
  ]);
});

test('the example ends with a status and says why when it cannot', async () => {
  await using fake = await startFakeControl();
  expect((await runFromSource(example, ['web'])).status).toBe(2);

  fake.refuse('CreateService', {
    status: Status.INVALID_ARGUMENT,
    message: 'spec.image is wrong',
    violations: [{ field: 'spec.image', rule: 'is wrong' }],
  });
  const refused = await runFromSource(example, ['web', 'IMAGE', '1'], environmentOf(fake));
  expect(refused.stderr).toContain('spec.image is wrong');
  expect(refused.status).toBe(1);

  fake.holdActions = true;
  await using failing = startFromSource(
    example,
    ['web', 'registry/web:1', '1'],
    environmentOf(fake),
  );
  const [action] = await eventually(() => {
    expect(fake.actions.list()).toHaveLength(1);
    return fake.actions.list();
  });
  fake.addProgress(action!.id, 'web-1', 'pulling registry/web:1');
  fake.finishAction(action!.id, ActionState.FAILED, 'the image does not exist');
  expect(await failing.ended()).toBe(1);
  expect(failing.stdout).toContain('web-1 pulling registry/web:1');
  expect(failing.stderr).toContain('the image does not exist');
});
