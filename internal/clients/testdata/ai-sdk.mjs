import {createMCPClient, ElicitationRequestSchema} from '@ai-sdk/mcp';
import {Experimental_StdioMCPTransport as StdioTransport} from '@ai-sdk/mcp/mcp-stdio';
import {createOpenAICompatible} from '@ai-sdk/openai-compatible';
import {generateText, stepCountIs} from 'ai';
import {answer, headers, report, test} from './case.mjs';

const client = await createMCPClient({
  name: 'ai-sdk', version: '7.8.9',
  transport: test.url
    ? {type: 'http', url: test.url, headers}
    : new StdioTransport({command: test.command, args: test.args, env: process.env, stderr: 'inherit'}),
  capabilities: test.dialogue ? {elicitation: {}} : {},
});
if (test.dialogue) client.onElicitationRequest(ElicitationRequestSchema, (request) => answer(request.params));
const model = createOpenAICompatible({name: 'stand-in', baseURL: test.model + '/v1', apiKey: 'none'})('stand-in');
const {text} = await generateText({model, tools: await client.tools(), prompt: 'Ring them.', stopWhen: stepCountIs(3), maxRetries: 0});
await client.close();
report(text);
