import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {createServer} from 'node:net';
import {fileURLToPath} from 'node:url';
import {Client} from '@modelcontextprotocol/sdk/client/index.js';
import {StdioClientTransport} from '@modelcontextprotocol/sdk/client/stdio.js';
import {StreamableHTTPClientTransport} from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {CallToolResultSchema, ElicitRequestSchema} from '@modelcontextprotocol/sdk/types.js';
import {answer, report, test} from './case.mjs';

const gateway = fileURLToPath(new URL('node_modules/supergateway/dist/index.js', import.meta.url));
const client = () => {
  const c = new Client({name: 'behind-gateway', version: '1.0.0'}, {capabilities: {elicitation: {}}});
  c.setRequestHandler(ElicitRequestSchema, (request) => answer(request.params));
  return c;
};

// Over HTTP the gateway is the program that the client starts. Over stdio it is a server that
// starts ours.
let connected, child;
if (test.url) {
  const args = [gateway, '--streamableHttp', test.url, '--outputTransport', 'stdio', '--logLevel', 'none'];
  if (test.token) args.push('--header', `Authorization: Bearer ${test.token}`);
  connected = client();
  await connected.connect(new StdioClientTransport({command: process.execPath, args, env: process.env, stderr: 'inherit'}));
} else {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const {port} = probe.address();
  probe.close();
  await once(probe, 'close');
  child = spawn(process.execPath, [gateway, '--stdio', [test.command, ...test.args].join(' '), '--port', String(port),
    '--outputTransport', 'streamableHttp', '--stateful', '--logLevel', 'none'], {stdio: ['ignore', 'inherit', 'inherit']});
  while (!connected) {
    const c = client();
    try {
      await c.connect(new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${port}/mcp`)));
      connected = c;
    } catch (e) {
      if (e.cause?.code !== 'ECONNREFUSED') throw e;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
const result = await connected.callTool({name: test.tool, arguments: test.arguments}, CallToolResultSchema);
await connected.close();
if (child) {
  child.kill();
  await once(child, 'exit');
}
report(result);
