/**
 * google.iam.admin.v1.IAM as far as service accounts go, in the form of the protos that the client packages ship: no
 * package on npm ships these. Names, fields and routes are those of the API's discovery document, which `@googleapis/iam`
 * is generated from (its `Schema$…` types and `projects.serviceAccounts` methods).
 */

type Fields = Record<string, [type: string, behavior?: 'OUTPUT_ONLY' | 'REQUIRED' | 'repeated']>;

function message(fields: Fields): object {
  return {
    fields: Object.fromEntries(
      Object.entries(fields).map(([name, [type, behavior]], index) => [
        name,
        {
          type,
          id: index + 1,
          ...(behavior === 'repeated' && { rule: 'repeated' }),
          ...(behavior && behavior !== 'repeated' && { options: { '(google.api.field_behavior)': behavior } }),
        },
      ]),
    ),
  };
}

function method(requestType: string, responseType: string, http: Record<string, string>): object {
  return { requestType, responseType, parsedOptions: [{ '(google.api.http)': http }] };
}

const account = '/v1/{name=projects/*/serviceAccounts/*}';
const resource = '/v1/{resource=projects/*/serviceAccounts/*}';
const key = '/v1/{name=projects/*/serviceAccounts/*/keys/*}';
const empty = 'google.protobuf.Empty';

export const iamProtos = {
  nested: {
    IAM: {
      methods: {
        ListServiceAccounts: method('ListServiceAccountsRequest', 'ListServiceAccountsResponse', {
          get: '/v1/{name=projects/*}/serviceAccounts',
        }),
        GetServiceAccount: method('GetServiceAccountRequest', 'ServiceAccount', { get: account }),
        CreateServiceAccount: method('CreateServiceAccountRequest', 'ServiceAccount', {
          post: '/v1/{name=projects/*}/serviceAccounts',
          body: '*',
        }),
        UpdateServiceAccount: method('ServiceAccount', 'ServiceAccount', { put: account, body: '*' }),
        PatchServiceAccount: method('PatchServiceAccountRequest', 'ServiceAccount', {
          patch: '/v1/{service_account.name=projects/*/serviceAccounts/*}',
          body: '*',
        }),
        DeleteServiceAccount: method('DeleteServiceAccountRequest', empty, { delete: account }),
        UndeleteServiceAccount: method('UndeleteServiceAccountRequest', 'UndeleteServiceAccountResponse', {
          post: `${account}:undelete`,
          body: '*',
        }),
        EnableServiceAccount: method('EnableServiceAccountRequest', empty, { post: `${account}:enable`, body: '*' }),
        DisableServiceAccount: method('DisableServiceAccountRequest', empty, { post: `${account}:disable`, body: '*' }),
        GetIamPolicy: method('google.iam.v1.GetIamPolicyRequest', 'google.iam.v1.Policy', {
          post: `${resource}:getIamPolicy`,
        }),
        SetIamPolicy: method('google.iam.v1.SetIamPolicyRequest', 'google.iam.v1.Policy', {
          post: `${resource}:setIamPolicy`,
          body: '*',
        }),
        TestIamPermissions: method(
          'google.iam.v1.TestIamPermissionsRequest',
          'google.iam.v1.TestIamPermissionsResponse',
          { post: `${resource}:testIamPermissions`, body: '*' },
        ),
        ListServiceAccountKeys: method('ListServiceAccountKeysRequest', 'ListServiceAccountKeysResponse', {
          get: `${account}/keys`,
        }),
        GetServiceAccountKey: method('GetServiceAccountKeyRequest', 'ServiceAccountKey', { get: key }),
        CreateServiceAccountKey: method('CreateServiceAccountKeyRequest', 'ServiceAccountKey', {
          post: `${account}/keys`,
          body: '*',
        }),
        DeleteServiceAccountKey: method('DeleteServiceAccountKeyRequest', empty, { delete: key }),
      },
    },
    ServiceAccount: message({
      name: ['string'],
      projectId: ['string', 'OUTPUT_ONLY'],
      uniqueId: ['string', 'OUTPUT_ONLY'],
      email: ['string', 'OUTPUT_ONLY'],
      displayName: ['string'],
      etag: ['bytes'],
      description: ['string'],
      oauth2ClientId: ['string', 'OUTPUT_ONLY'],
      disabled: ['bool', 'OUTPUT_ONLY'],
    }),
    ListServiceAccountsRequest: message({ name: ['string', 'REQUIRED'], pageSize: ['int32'], pageToken: ['string'] }),
    ListServiceAccountsResponse: message({ accounts: ['ServiceAccount', 'repeated'], nextPageToken: ['string'] }),
    GetServiceAccountRequest: message({ name: ['string', 'REQUIRED'] }),
    CreateServiceAccountRequest: message({
      name: ['string', 'REQUIRED'],
      accountId: ['string', 'REQUIRED'],
      serviceAccount: ['ServiceAccount'],
    }),
    PatchServiceAccountRequest: message({
      serviceAccount: ['ServiceAccount', 'REQUIRED'],
      updateMask: ['google.protobuf.FieldMask'],
    }),
    DeleteServiceAccountRequest: message({ name: ['string', 'REQUIRED'] }),
    UndeleteServiceAccountRequest: message({ name: ['string', 'REQUIRED'] }),
    UndeleteServiceAccountResponse: message({ restoredAccount: ['ServiceAccount'] }),
    EnableServiceAccountRequest: message({ name: ['string', 'REQUIRED'] }),
    DisableServiceAccountRequest: message({ name: ['string', 'REQUIRED'] }),
    ListServiceAccountKeysRequest: message({ name: ['string', 'REQUIRED'], keyTypes: ['string', 'repeated'] }),
    ListServiceAccountKeysResponse: message({ keys: ['ServiceAccountKey', 'repeated'] }),
    GetServiceAccountKeyRequest: message({ name: ['string', 'REQUIRED'], publicKeyType: ['string'] }),
    CreateServiceAccountKeyRequest: message({
      name: ['string', 'REQUIRED'],
      privateKeyType: ['string'],
      keyAlgorithm: ['string'],
    }),
    DeleteServiceAccountKeyRequest: message({ name: ['string', 'REQUIRED'] }),
    ServiceAccountKey: message({ name: ['string'] }),
  },
};
