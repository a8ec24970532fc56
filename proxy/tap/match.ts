import { decodeAddress } from '#api/decode/net.ts';
import {
  type ObserveRequest_Match as Match,
  type ObserveRequest_Match_Http as HttpMatch,
  type ObserveRequest_Match_Http_StringMatch as StringMatch,
  type ObserveRequest_Match_Label as LabelMatch,
  type ObserveRequest_Match_Tcp as TcpMatch,
} from '#api/gen/tap.ts';
import { containsAddress, network, parseAddress } from '#model/address.ts';
import type { Labels } from '../metrics/family.ts';
import { methodName, schemeName } from './message.ts';

export type SocketAddress = { readonly address: string; readonly port: number };

/** What a request looks like to somebody who taps. */
export type Tapped = {
  readonly source: SocketAddress;
  readonly destination: SocketAddress;
  readonly destinationLabels: Labels;
  readonly routeLabels: Labels;
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
};

export type Predicate = (request: Tapped) => boolean;

/** A match that means nothing; the message names the part. */
export class MatchError extends Error {
  override readonly name = 'MatchError';
}

const DEPTH_MAX = 16;
const PARTS_MAX = 256;

/**
 * Turns the match of an ObserveRequest into a test. Source: linkerd2-proxy `tap/src/grpc/match.rs`.
 *
 * @throws MatchError
 */
export function compileMatch(match: Match | undefined): Predicate {
  const budget = { parts: PARTS_MAX };
  return compile(match, budget, 0);
}

function compile(match: Match | undefined, budget: { parts: number }, depth: number): Predicate {
  budget.parts -= 1;
  if (budget.parts < 0 || depth > DEPTH_MAX)
    throw new MatchError(`a match may have ${PARTS_MAX} parts and be ${DEPTH_MAX} deep`);
  const kind = match?.match;
  switch (kind?.$case) {
    case 'all': {
      const parts = kind.value.matches.map((part) => compile(part, budget, depth + 1));
      return (request) => parts.every((part) => part(request));
    }
    case 'any': {
      const parts = kind.value.matches.map((part) => compile(part, budget, depth + 1));
      return (request) => parts.some((part) => part(request));
    }
    case 'not': {
      const part = compile(kind.value, budget, depth + 1);
      return (request) => !part(request);
    }
    case 'source': {
      const tcp = compileTcp(kind.value);
      return ({ source }) => tcp(source);
    }
    case 'destination': {
      const tcp = compileTcp(kind.value);
      return ({ destination }) => tcp(destination);
    }
    case 'destinationLabel': {
      const { key, value } = checkedLabel(kind.value);
      return ({ destinationLabels }) => destinationLabels[key] === value;
    }
    case 'routeLabel': {
      const { key, value } = checkedLabel(kind.value);
      return ({ routeLabels }) => routeLabels[key] === value;
    }
    case 'http':
      return compileHttp(kind.value);
    default:
      throw new MatchError('a match is missing');
  }
}

function checkedLabel(label: LabelMatch): LabelMatch {
  if (label.key === '' || label.value === '') throw new MatchError('a label match needs a key and a value');
  return label;
}

function compileTcp({ match }: TcpMatch): (socket: SocketAddress) => boolean {
  if (match?.$case === 'ports') {
    const { min, max } = match.value;
    const first = min === 0 ? max : min;
    const last = max === 0 ? min : max;
    if (first === 0 || last < first || last > 65_535) throw new MatchError(`ports ${min} to ${max} are no range`);
    return ({ port }) => port >= first && port <= last;
  }
  if (match?.$case === 'netmask') {
    const address = decodeAddress(match.value.ip, 'netmask.ip');
    const { mask } = match.value;
    if (mask < 1 || mask > address.length * 32) throw new MatchError(`netmask.mask is ${mask}`);
    const block = network(address, mask);
    return (socket) => {
      const parsed = parseAddress(socket.address);
      return parsed !== undefined && containsAddress(block, parsed);
    };
  }
  throw new MatchError('a source or destination match names neither ports nor a network');
}

function compileHttp({ match }: HttpMatch): Predicate {
  switch (match?.$case) {
    case 'method': {
      const wanted = methodName(match.value);
      return ({ method }) => method === wanted;
    }
    case 'scheme': {
      const wanted = schemeName(match.value);
      return ({ scheme }) => scheme === wanted;
    }
    case 'authority': {
      const test = compileString(match.value);
      return ({ authority }) => test(authority);
    }
    case 'path': {
      const test = compileString(match.value);
      return ({ path }) => test(path);
    }
    default:
      throw new MatchError('an HTTP match is empty');
  }
}

function compileString({ match }: StringMatch): (text: string) => boolean {
  if (match === undefined) throw new MatchError('a text match is empty');
  const { value } = match;
  return match.$case === 'exact' ? (text) => text === value : (text) => text.startsWith(value);
}
