import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readDescription } from '../../../../agent/proxy/config-store.ts';
import {
  parseBackends,
  parseCounters,
  parseInfo,
  parseProcesses,
  parseServersState,
  parseStreams,
} from '../../../../agent/proxy/server-state.ts';

/** What HAProxy may say one day, and what a broken one says: words of its own among anything. */
const noise = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.constantFrom(
        ...['\n', ',', ' ', '"', '""', '1\n', '# ', '# pxname,svname', '# be_id be_name srv_name'],
        ...['srv_addr srv_port srv_admin_state srv_id', 'UP', 'DOWN 1/2', '* L4CON', 'Pid: ', '0x'],
        ...[
          'qcur,scur,stot,status,type,check_status,last_chk',
          'worker',
          '# old workers',
          ' be=b srv=s ',
        ],
      ),
    ),
    { maxLength: 40 },
  )
  .map((parts) => parts.join(''));

const parsers: Readonly<Record<string, (text: string) => unknown>> = {
  parseBackends,
  parseCounters,
  parseInfo,
  parseProcesses,
  parseServersState,
  parseStreams: (text) => parseStreams(text, 'b', 's'),
  readDescription,
};

test.each(Object.entries(parsers))('%s reads or refuses whatever it is given', (_name, parse) => {
  fc.assert(
    fc.property(noise, (text) => {
      try {
        parse(text);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
      }
    }),
  );
});

const name = fc.stringMatching(/^[A-Za-z0-9_.:-]{1,30}$/);
const words = fc.string({
  unit: fc.constantFrom('a', 'b', ' ', ',', '"', ':', '.'),
  maxLength: 30,
});

/** As HAProxy writes a field that may hold anything. */
function quoted(text: string): string {
  return /[,"]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

test('finds every server in a table with columns in any order, whatever its checks say', () => {
  const needed = ['pxname', 'svname', 'qcur', 'scur', 'stot', 'status', 'type', 'check_status'];
  const row = fc.record({
    pxname: name,
    svname: name,
    qcur: fc.nat(),
    scur: fc.nat(),
    stot: fc.nat(),
    status: fc.constantFrom('UP', 'DOWN', 'MAINT', 'no check', 'UP 1/3', 'DRAIN'),
    check_status: fc.constantFrom('', 'L4OK', '* L4TOUT', 'HANA'),
    last_chk: words,
  });
  const order = fc.shuffledSubarray([...needed, 'slim', 'weight', 'new'], { minLength: 11 });
  fc.assert(
    fc.property(fc.array(row, { maxLength: 8 }), order, (rows, before) => {
      // What may be quoted stands behind all else that is read, in every version.
      const columns = [...before, 'last_chk', 'addr'];
      const lines = rows.map((each) =>
        columns
          .map((column) => {
            if (column === 'type') return '2';
            if (column === 'last_chk') return quoted(each.last_chk);
            return String((each[column as keyof typeof each] as string | number | undefined) ?? '');
          })
          .join(','),
      );
      const { servers } = parseCounters([`# ${columns.join(',')}`, ...lines, ''].join('\n'));
      expect(servers).toEqual(
        rows.map(({ pxname, svname, qcur, scur, stot }, index) => ({
          ...servers[index],
          ...{ backend: pxname, id: svname, inFlight: qcur + scur, requests: stot },
        })),
      );
      for (const [index, { status, last_chk: said }] of rows.entries()) {
        const { healthMessage } = servers[index]!;
        if (status === 'DOWN') expect(healthMessage).toContain(said.trim());
        else expect(healthMessage).toBe('');
      }
    }),
  );
});
