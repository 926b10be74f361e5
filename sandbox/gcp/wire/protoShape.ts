import protobuf from 'protobufjs/light.js';

/** One field, as proto3 JSON needs it. */
export interface FieldShape {
  jsonName: string;
  protoName: string;
  type: string;
  resolved: protobuf.ReflectionObject | null;
  repeated: boolean;
  map: boolean;
  oneof?: string;
  explicitPresence: boolean;
  behavior?: string;
}

const shapes = new WeakMap<protobuf.Type, Map<string, FieldShape>>();

const snake = (camel: string) => camel.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);

/** The message's fields by JSON name and by proto name. */
export function shapeOf(type: protobuf.Type): Map<string, FieldShape> {
  const known = shapes.get(type);
  if (known) return known;
  const shape = new Map<string, FieldShape>();
  for (const field of type.fieldsArray) {
    field.resolve();
    const isOptional = field.options?.proto3_optional === true;
    const oneof = isOptional ? undefined : field.partOf?.name;
    const entry: FieldShape = {
      jsonName: field.name,
      protoName: snake(field.name),
      type: field.type,
      resolved: field.resolvedType,
      repeated: field.repeated,
      map: field instanceof protobuf.MapField,
      ...(oneof && { oneof }),
      explicitPresence: isOptional || oneof !== undefined || field.resolvedType instanceof protobuf.Type,
      behavior: field.options?.['(google.api.field_behavior)'] as string | undefined,
    };
    shape.set(entry.jsonName, entry);
    shape.set(entry.protoName, entry);
  }
  shapes.set(type, shape);
  return shape;
}
