import { type z } from 'zod';

const KINDS: Readonly<Record<string, string>> = {
  number: 'a number',
  int: 'a whole number',
  string: 'a text',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
};

const isLength = (origin: string): boolean => origin === 'string' || origin === 'array';

/** What a schema found wrong, as a person reads it: `maxChain must be a number; "bogus" is not known`. No values. */
export function schemaMistakes({ issues }: z.ZodError): string {
  return issues.map((issue) => sentence(issue)).join('; ');
}

function sentence(issue: z.core.$ZodIssue): string {
  const field = issue.path.map(String).join('.');
  const subject = field === '' ? 'it' : field;
  switch (issue.code) {
    case 'unrecognized_keys': {
      const place = field === '' ? '' : ` in ${field}`;
      return `${issue.keys.map((key) => `"${key}"`).join(', ')} ${issue.keys.length === 1 ? 'is' : 'are'} not known${place}`;
    }
    case 'invalid_value':
      return `${subject} must be ${issue.values.length === 1 ? '' : 'one of '}${issue.values.map(String).join(', ')}`;
    case 'invalid_type':
      return `${subject} must be ${KINDS[issue.expected] ?? `of the kind ${issue.expected}`}`;
    case 'too_small':
      return `${subject} must ${isLength(issue.origin) ? 'have' : 'be'} ${String(issue.minimum)} or more`;
    case 'too_big':
      return `${subject} must ${isLength(issue.origin) ? 'have' : 'be'} ${String(issue.maximum)} or less`;
    case 'invalid_union':
      return `${subject} has none of the forms that it may have`;
    default:
      return issue.message.startsWith('must ') ? `${subject} ${issue.message}` : `${subject}: ${issue.message}`;
  }
}
