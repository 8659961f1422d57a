import {Client} from '@modelcontextprotocol/sdk/client/index.js';
import {StdioClientTransport} from '@modelcontextprotocol/sdk/client/stdio.js';
import {StreamableHTTPClientTransport} from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {CallToolResultSchema, ElicitRequestSchema} from '@modelcontextprotocol/sdk/types.js';
import {answer, headers, report, test} from './case.mjs';

const client = new Client({name: 'sdk-v1', version: '1.2.3'}, {capabilities: test.dialogue ? {elicitation: {}} : {}});
if (test.dialogue) client.setRequestHandler(ElicitRequestSchema, (request) => answer(request.params));
await client.connect(test.url
  ? new StreamableHTTPClientTransport(new URL(test.url), {requestInit: {headers}})
  : new StdioClientTransport({command: test.command, args: test.args, env: process.env, stderr: 'inherit'}));
const result = await client.callTool({name: test.tool, arguments: test.arguments}, CallToolResultSchema);
await client.close();
report(result);
