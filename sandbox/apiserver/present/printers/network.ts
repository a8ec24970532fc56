import type { KubeObject } from '../../object.ts';
import { asArray, asString, field, fieldAt, objectsIn } from '../../objects/json.ts';
import { ageColumn, listWithMore, nameColumn, numberOf, printer, text, textOr, wide } from './printer.ts';
import { formatLabels, formatLabelSelector } from './selector-text.ts';

const SHOWN_MAX = 3; // endpoints, ports and hosts of one row

function loadBalancerAddresses(object: KubeObject): readonly string[] {
  const ingress = objectsIn(fieldAt(object, 'status', 'loadBalancer', 'ingress'));
  const addresses = ingress.map((entry) => textOr(field(entry, 'ip'), asString(field(entry, 'hostname'))));
  return [...new Set(addresses.filter((address) => address !== ''))].sort();
}

/** Source: kubernetes printers.go, getServiceExternalIP. */
function externalIp(service: KubeObject): string {
  const type = fieldAt(service, 'spec', 'type');
  const external = asArray(fieldAt(service, 'spec', 'externalIPs')).map(asString);
  switch (type) {
    case 'ClusterIP':
    case 'NodePort':
      return external.join(',') || '<none>';
    case 'LoadBalancer':
      return [...loadBalancerAddresses(service), ...external].join(',') || '<pending>';
    case 'ExternalName':
      return asString(fieldAt(service, 'spec', 'externalName'));
    default:
      return '<unknown>';
  }
}

function servicePorts(service: KubeObject): string {
  const ports = objectsIn(fieldAt(service, 'spec', 'ports')).map((port) => {
    const nodePort = numberOf(field(port, 'nodePort'));
    const node = nodePort > 0 ? `:${nodePort}` : '';
    return `${numberOf(field(port, 'port'))}${node}/${asString(field(port, 'protocol'))}`;
  });
  return ports.join(',') || '<none>';
}

export const servicePrinter = printer(
  nameColumn,
  text('Type', 'How the service is exposed.', (object) => asString(fieldAt(object, 'spec', 'type'))),
  text('Cluster-IP', 'IP address of the service inside the cluster.', (object) =>
    textOr(asArray(fieldAt(object, 'spec', 'clusterIPs'))[0], '<none>'),
  ),
  text('External-IP', 'Addresses from outside the cluster.', externalIp),
  text('Port(s)', 'Ports exposed by the service.', servicePorts),
  ageColumn,
  wide(
    text('Selector', 'Labels of the pods behind it.', (object) => formatLabels(fieldAt(object, 'spec', 'selector'))),
  ),
);

function hostPort(ip: string, port: number): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}

function endpointAddresses(endpoints: KubeObject): readonly string[] {
  return objectsIn(endpoints['subsets']).flatMap((subset) => {
    const ips = objectsIn(field(subset, 'addresses')).map((address) => asString(field(address, 'ip')));
    const ports = objectsIn(field(subset, 'ports')).map((port) => numberOf(field(port, 'port')));
    return ports.length === 0 ? ips : ports.flatMap((port) => ips.map((ip) => hostPort(ip, port)));
  });
}

export const endpointsPrinter = printer(
  nameColumn,
  text('Endpoints', 'Addresses behind the service.', (object) =>
    listWithMore(endpointAddresses(object), SHOWN_MAX, objectsIn(object['subsets']).length === 0 ? '<none>' : ''),
  ),
  ageColumn,
);

export const endpointSlicePrinter = printer(
  nameColumn,
  text('AddressType', 'Kind of the addresses.', (object) => asString(object['addressType'])),
  text('Ports', 'Ports of the endpoints.', (object) => {
    const ports = objectsIn(object['ports']).map((port) =>
      textOr(field(port, 'port'), textOr(field(port, 'name'), '*')),
    );
    return listWithMore(ports, SHOWN_MAX, '<unset>');
  }),
  text('Endpoints', 'Addresses of the endpoints.', (object) => {
    const addresses = objectsIn(object['endpoints']).flatMap((endpoint) => asArray(field(endpoint, 'addresses')));
    return listWithMore(addresses.map(asString), SHOWN_MAX, '<unset>');
  }),
  ageColumn,
);

export const ingressPrinter = printer(
  nameColumn,
  text('Class', 'The name of the IngressClass resource that should be used for additional configuration', (object) =>
    textOr(fieldAt(object, 'spec', 'ingressClassName'), '<none>'),
  ),
  text('Hosts', 'Hosts that incoming requests are matched against before the ingress rule', (object) => {
    const hosts = objectsIn(fieldAt(object, 'spec', 'rules')).map((rule) => asString(field(rule, 'host')));
    const named = hosts.filter((host) => host !== '');
    return listWithMore(named, SHOWN_MAX, '*');
  }),
  text('Address', 'Address is a list containing ingress points for the load-balancer', (object) =>
    loadBalancerAddresses(object).join(','),
  ),
  text('Ports', 'Ports of TLS configurations that open', (object) =>
    objectsIn(fieldAt(object, 'spec', 'tls')).length > 0 ? '80, 443' : '80',
  ),
  ageColumn,
);

export const ingressClassPrinter = printer(
  nameColumn,
  text('Controller', 'Controller that is responsible for handling this class', (object) =>
    asString(fieldAt(object, 'spec', 'controller')),
  ),
  text('Parameters', 'A reference to a resource with additional parameters', (object) => {
    const parameters = fieldAt(object, 'spec', 'parameters');
    if (parameters === undefined) return '<none>';
    const group = textOr(field(parameters, 'apiGroup'), '');
    const kind = asString(field(parameters, 'kind'));
    return `${group === '' ? kind : `${kind}.${group}`}/${asString(field(parameters, 'name'))}`;
  }),
  ageColumn,
);

export const networkPolicyPrinter = printer(
  nameColumn,
  text('Pod-Selector', 'Pods the policy applies to.', (object) =>
    formatLabelSelector(fieldAt(object, 'spec', 'podSelector')),
  ),
  ageColumn,
);
