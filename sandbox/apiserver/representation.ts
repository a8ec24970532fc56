import type { Representation } from './present/accept.ts';
import { partialMetadata, partialMetadataList } from './present/metadata-only.ts';
import { includeObjectOf, listTable, tablePrinter, type TableOptions } from './present/table.ts';
import type { JsonObject, KubeObject } from './object.ts';
import { apiVersionOf, type ResourceType } from './registry.ts';
import { plainEncoder, type WatchEncoder } from './watch-stream.ts';

/** How the client of one request wants to see objects. */
export type View = {
  readonly representation: Representation;
  readonly includeObject: TableOptions['includeObject'];
  readonly nowMs: number;
};

export function viewOf(representation: Representation, query: URLSearchParams, nowMs: number): View {
  return { representation, includeObject: includeObjectOf(query.get('includeObject')), nowMs };
}

export function showObject(type: ResourceType, object: KubeObject, view: View): JsonObject {
  const { representation } = view;
  switch (representation.kind) {
    case 'json':
      return object;
    case 'metadata':
      return partialMetadata(object, representation.version);
    case 'table': {
      const { resourceVersion } = object.metadata;
      return listTable(tablePrinter(type), [object], { resourceVersion }, tableOptions(view, representation, true));
    }
  }
}

export function showList(
  type: ResourceType,
  objects: readonly KubeObject[],
  resourceVersion: string,
  view: View,
): JsonObject {
  const { representation } = view;
  switch (representation.kind) {
    case 'json':
      return {
        kind: type.listKind,
        apiVersion: apiVersionOf(type),
        metadata: { resourceVersion },
        items: type.custom === undefined ? objects.map(untyped) : objects,
      };
    case 'metadata':
      return partialMetadataList(objects, { resourceVersion }, representation.version);
    case 'table':
      return listTable(tablePrinter(type), objects, { resourceVersion }, tableOptions(view, representation, true));
  }
}

/** Items of built-in lists come without kind and apiVersion; clients know them from the list. */
function untyped(object: KubeObject): JsonObject {
  const { kind: _kind, apiVersion: _apiVersion, ...rest } = object;
  return rest;
}

export function watchEncoder(type: ResourceType, view: View): WatchEncoder {
  const { representation } = view;
  switch (representation.kind) {
    case 'json':
      return plainEncoder(type);
    case 'metadata':
      return {
        object: (object) => partialMetadata(object, representation.version),
        bookmark: (resourceVersion, annotations) => ({
          kind: 'PartialObjectMetadata',
          apiVersion: `meta.k8s.io/${representation.version}`,
          metadata: { resourceVersion, ...(annotations === undefined ? {} : { annotations }) },
        }),
      };
    case 'table':
      return tableEncoder(type, view, representation);
  }
}

/** Only the first event of a stream carries the columns. */
function tableEncoder(type: ResourceType, view: View, representation: Table): WatchEncoder {
  const printer = tablePrinter(type);
  let hasColumns = true;
  const table = (objects: readonly KubeObject[], resourceVersion: string): JsonObject => {
    const options = { ...tableOptions(view, representation, hasColumns), nowMs: Date.now() };
    hasColumns = false;
    return listTable(printer, objects, { resourceVersion }, options);
  };
  return {
    object: (object) => table([object], object.metadata.resourceVersion),
    bookmark: (resourceVersion) => table([], resourceVersion),
  };
}

type Table = Extract<Representation, { kind: 'table' }>;

function tableOptions(view: View, representation: Table, hasColumns: boolean): TableOptions {
  return { version: representation.version, includeObject: view.includeObject, hasColumns, nowMs: view.nowMs };
}
