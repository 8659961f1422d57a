import {Client, StreamableHTTPClientTransport} from '@modelcontextprotocol/client';
import {StdioClientTransport} from '@modelcontextprotocol/client/stdio';
import {answer, headers, report, test} from './case.mjs';

const client = new Client({name: 'sdk-v2', version: '4.5.6'}, {
  capabilities: test.dialogue ? {elicitation: {form: {}}} : {},
  versionNegotiation: {mode: test.era === 'modern' ? {pin: '2026-07-28'} : 'legacy'},
});
if (test.dialogue) client.setRequestHandler('elicitation/create', (request) => answer(request.params));
await client.connect(test.url
  ? new StreamableHTTPClientTransport(new URL(test.url), {requestInit: {headers}})
  : new StdioClientTransport({command: test.command, args: test.args, env: process.env, stderr: 'inherit'}));
const result = await client.callTool({name: test.tool, arguments: test.arguments});
await client.close();
report(result);
