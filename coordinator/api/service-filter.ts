import type { FieldViolation } from '../../shared/errors.ts';
import type { ListServicesRequest } from '../../shared/gen/fairlead/v1/control_service.ts';
import type { Service } from '../model.ts';
import { strategiesFromProto } from './convert-spec.ts';
import { labelFiltersFromProto } from './spec-parts.ts';
import { throwIfInvalid } from './validate.ts';

/** Whether a service's definition is what a list asks for; throws 'invalid' if it asks for what none can have. */
export function definitionFilter({
  labels,
  strategies,
}: Pick<ListServicesRequest, 'labels' | 'strategies'>): (service: Service) => boolean {
  const violations: FieldViolation[] = [];
  const wanted = labelFiltersFromProto(labels, 'labels', violations);
  const among = strategiesFromProto(strategies, 'strategies', violations);
  throwIfInvalid(violations);
  return ({ spec }) =>
    (among.size === 0 || among.has(spec.strategy)) &&
    wanted.every(
      ({ key, value }) =>
        Object.hasOwn(spec.labels, key) && (value === undefined || spec.labels[key] === value),
    );
}
